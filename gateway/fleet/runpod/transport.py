"""What travels to the endpoint and back. A job's body there is small, so pictures go by reference where that is
possible: theirs to a public gateway, ours from it."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from gateway.files.files import Files
from gateway.files.inputs import referred
from gateway.files.model import StoredFile
from gateway.files.names import safe_name
from gateway.fleet.fleet import OWN_BUCKET
from gateway.fleet.runpod.download import Downloads, NotFetched
from gateway.fleet.runpod.waiting import WAIT_S
from gateway.hosts import is_loopback, name_of
from gateway.jobs.model import Job, Lease
from gateway.settings import Settings
from gateway.urls import own_url
from gateway.webhooks.addresses import is_permitted
from schemas.errors import BadRequest, FileTooLarge, FooocusError, PayloadTooLarge, StorageUnavailable
from schemas.runpod import WEEK_MS

log = logging.getLogger(__name__)

MAX_BODY = 10_000_000
"""Bytes of a job the platform takes (`/run`)."""

SHORTEST_MS = 5_000
FETCHED_PORTS = ("", "80", "443")
"""As a URL names them: the only ports at which workers read links."""


class Transport:
    """Jobs to bodies of `/run`, and results to results of ours.

    offers_uploads: whether jobs say where the worker may put pictures. An endpoint need not pass that on.
    """

    def __init__(self, settings: Settings, files: Files, downloads: Downloads) -> None:
        self._files = files
        self._downloads = downloads
        self._base = own_url(settings)
        self._public = _reachable(settings.public_url)
        self._lent: dict[str, list[StoredFile]] = {}
        self.offers_uploads = self._public is not None

    async def pack(self, lease: Lease) -> bytes:
        """The body of `/run`. Raises FileTooLarge, naming the field of the largest picture, and what `Files.add`
        raises."""
        job = lease.job
        body: dict[str, Any] = {"input": await self._input(lease), "policy": _policy(job)}
        if OWN_BUCKET in job.extra:
            body[OWN_BUCKET] = job.extra[OWN_BUCKET]
        if self._public is not None and self.offers_uploads:
            grant = self._files.grant(lease.id, self._public)
            body |= {"uploadUrl": grant.url, "uploadToken": grant.token}
        data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        if len(data) > MAX_BODY:
            raise _too_large(body["input"])
        return data

    async def unpack(self, lease: Lease, output: Mapping[str, Any]) -> dict[str, Any]:
        """The result with its pictures among our files, unless its client wanted them elsewhere: inline, or in a
        bucket of its own.

        A picture whose URL cannot be fetched keeps it. Raises StorageUnavailable when an inline one cannot be stored.
        """
        images, job = output.get("images"), lease.job
        if not isinstance(images, list) or job.input.get("sync_mode") is True or OWN_BUCKET in job.extra:
            return dict(output)
        names = _names(images)
        return {**output, "images": [await self._kept(lease, *pair) for pair in zip(images, names, strict=True)]}

    async def settle(self, lease: Lease) -> None:
        """The job has ended: what was lent for it can be read no more."""
        for file in self._lent.pop(lease.id, []):
            await self._files.drop(file.id)

    async def _input(self, lease: Lease) -> dict[str, Any]:
        if self._public is None:
            return await self._files.fill(lease.job.input, lease.job.owner)
        return await self._linked(lease, lease.job.input)

    async def _linked(self, lease: Lease, value: Any) -> Any:
        """A copy of a JSON value in which our files have addresses that open from afar."""
        if isinstance(value, str):
            file = await referred(self._files, value, lease.job.owner)
            return value if file is None else self._files.url(await self._lend(lease, file), self._public or "")
        if isinstance(value, Mapping):
            return {name: await self._linked(lease, item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [await self._linked(lease, item) for item in value]
        return value

    async def _lend(self, lease: Lease, file: StoredFile) -> StoredFile:
        """The file itself if all who know its address may read it, else a copy of this kind for the job's time."""
        if file.public:
            return file
        data, ttl_s = await self._files.read(file), lease.job.execution_timeout_s + WAIT_S
        copy = await self._files.add(data, name=file.name, owner=file.owner, ttl_s=ttl_s)
        self._lent.setdefault(lease.id, []).append(copy)
        return copy

    async def _kept(self, lease: Lease, image: Any, name: str) -> Any:
        url = image.get("url") if isinstance(image, Mapping) else None
        if not isinstance(url, str) or await self._files.resolve(url) is not None:
            return image
        file = await (self._stored(lease, url, name) if url.startswith("data:") else self._copied(lease, url, name))
        return image if file is None else {**image, "url": self._files.url(file, self._base)}

    async def _stored(self, lease: Lease, url: str, name: str) -> StoredFile:
        try:
            data = base64.b64decode(url.partition(",")[2], validate=True)
            return await self._add(lease, data, name)
        except (binascii.Error, ValueError, FooocusError) as error:
            log.error("An inline picture of the endpoint was not stored: %s", error, extra={"job": lease.id})
            raise StorageUnavailable from None

    async def _copied(self, lease: Lease, url: str, name: str) -> StoredFile | None:
        try:
            async with self._downloads.open(url) as content:
                return await self._add(lease, content, name)
        except (NotFetched, BadRequest, PayloadTooLarge) as error:
            log.warning("A picture stays where the endpoint put it: %s", error, extra={"job": lease.id})
        except FooocusError as error:
            log.error("A picture stays where the endpoint put it: %s", error, extra={"job": lease.id})
        return None

    async def _add(self, lease: Lease, data: Any, name: str) -> StoredFile:
        job = lease.job
        return await self._files.add_for_lease(data, name=name, owner=job.owner, job_id=job.id, lease_id=lease.id)


def _reachable(public_url: str | None) -> str | None:
    """The public URL, unless its host is an address only this machine or network has, or workers refuse its port."""
    authority = urlsplit(public_url or "").netloc
    host, port = name_of(authority), authority.rpartition("]")[2].partition(":")[2]
    is_address = ":" in host or host.replace(".", "").isdigit()
    near = is_loopback(host) or (is_address and not is_permitted(host, allow_private=False))
    return public_url.rstrip("/") if public_url and port in FETCHED_PORTS and not near else None


def _policy(job: Job) -> dict[str, Any]:
    limit = min(max(round(job.execution_timeout_s * 1000), SHORTEST_MS), WEEK_MS)
    return {"executionTimeout": limit} | ({"lowPriority": True} if job.low_priority else {})


def _names(images: list[Any]) -> list[str]:
    """A name for each picture, its own where that is given once."""
    told = [image.get("file_name") if isinstance(image, Mapping) else None for image in images]
    safe = [safe_name(name) if isinstance(name, str) else "" for name in told]
    return [name if name and safe.count(name) == 1 else f"picture-{index}" for index, name in enumerate(safe)]


def _too_large(input: Mapping[str, Any]) -> FileTooLarge:
    log.error("A job has more pictures than RunPod takes inline; with a public URL they would go as links")
    loc, text = max(_texts(input, ["body"]), key=lambda found: len(found[1]))
    return FileTooLarge(loc, input=text, max_size=MAX_BODY)


def _texts(value: Any, loc: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
    if isinstance(value, str):
        yield loc, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _texts(item, [*loc, name])
