"""How pictures travel to the endpoint and back. A job's body there is small, so they go by reference where that is
possible."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any
from urllib.parse import urlsplit

from gateway.files.files import Files
from gateway.files.inputs import changed, referred
from gateway.files.model import StoredFile
from gateway.fleet.fleet import OWN_BUCKET
from gateway.fleet.runpod.waiting import WAIT_S
from gateway.hosts import is_fetched, is_loopback, name_of
from gateway.jobs.model import Failure, Job, Lease
from gateway.webhooks.addresses import is_permitted

Keep = Callable[[AsyncIterator[bytes]], Awaitable[StoredFile]]
"""Stores a picture among our files. Raises as `Files.add_for_lease` does."""


class Way:
    """This one: inside the job, and out of its result. Others differ in what they have to.

    offers_uploads: whether jobs carry keys for the way back that RunPod does not document.
    """

    offers_uploads = False

    def __init__(self, files: Files) -> None:
        self._files = files

    async def start(self, live: Collection[str]) -> None:
        """Take up what an earlier process left. live: the leases that are still looked after."""

    async def ready(self) -> None:
        """Raises EndpointError when no job can be sent this way now."""

    async def input(self, lease: Lease) -> dict[str, Any]:
        """The job's input as it is sent. Raises EndpointError when it cannot be now, OSError when a file of it cannot
        be read, and what `Files.add` raises."""
        return await self._files.fill(lease.job.input, lease.job.owner)

    def extra(self, lease: Lease) -> dict[str, Any]:
        """What stands beside the input: where the worker puts pictures."""
        return {}

    async def fetch(self, lease: Lease, url: str, keep: Keep) -> StoredFile | None:
        """A picture the worker put where it was told to, stored; None for any other URL. Raises StorageUnavailable."""
        return None

    def told(self, lease: Lease, failure: Failure) -> Failure:
        """A failure at the endpoint as its client may read it."""
        return failure

    async def settle(self, lease: Lease, *, strays: bool) -> None:
        """The job has ended: what was lent for it can be read no more. strays: whether something of it may still run at
        the endpoint."""

    async def close(self) -> None:
        """End what goes on here."""


class PublicWay(Way):
    """Links to files of a gateway that workers reach at `base`, and uploads to it."""

    def __init__(self, files: Files, base: str) -> None:
        super().__init__(files)
        self._base = base
        self._lent: dict[str, list[StoredFile]] = {}
        self.offers_uploads = True

    async def input(self, lease: Lease) -> dict[str, Any]:
        async def change(text: str) -> str:
            file = await referred(self._files, text, lease.job.owner)
            return text if file is None else self._files.url(await self._lend(lease, file), self._base)

        input: dict[str, Any] = await changed(lease.job.input, change)
        return input

    def extra(self, lease: Lease) -> dict[str, Any]:
        if not self.offers_uploads:
            return {}
        grant = self._files.grant(lease.id, self._base)
        return {"uploadUrl": grant.url, "uploadToken": grant.token}

    async def settle(self, lease: Lease, *, strays: bool) -> None:
        for file in self._lent.pop(lease.id, []):
            await self._files.drop(file.id)

    async def _lend(self, lease: Lease, file: StoredFile) -> StoredFile:
        """The file itself if all who know its address may read it, else a copy of this kind for the job's time."""
        if file.public:
            return file
        data, ttl_s = await self._files.read(file), lease.job.execution_timeout_s + WAIT_S
        copy = await self._files.add(data, name=file.name, owner=file.owner, ttl_s=ttl_s)
        self._lent.setdefault(lease.id, []).append(copy)
        return copy


def takes_pictures(job: Job) -> bool:
    """Whether the job's pictures come to us, its client not wanting them elsewhere: inline, or in a bucket of its
    own."""
    return job.input.get("sync_mode") is not True and OWN_BUCKET not in job.extra


def reachable(public_url: str | None) -> str | None:
    """The public URL, unless its host is an address only this machine or network has, or workers refuse its port."""
    authority = urlsplit(public_url or "").netloc
    host = name_of(authority)
    is_address = ":" in host or host.replace(".", "").isdigit()
    near = is_loopback(host) or (is_address and not is_permitted(host, allow_private=False))
    return public_url.rstrip("/") if public_url and is_fetched(authority) and not near else None
