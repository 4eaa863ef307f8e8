"""Pictures by the bucket: those of requests as links to it, those made from where the worker put them in it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from gateway.files.files import Files
from gateway.files.inputs import changed, referred
from gateway.files.model import StoredFile
from gateway.fleet.fleet import OWN_BUCKET
from gateway.fleet.runpod.bucket.bucket import Bucket
from gateway.fleet.runpod.bucket.folders import Folders
from gateway.fleet.runpod.bucket.place import Place
from gateway.fleet.runpod.bucket.sweep import AGAIN_S, Sweep
from gateway.fleet.runpod.errors import BucketError
from gateway.fleet.runpod.pace import Backoff
from gateway.fleet.runpod.waiting import WAIT_S
from gateway.fleet.runpod.ways import Keep, Way, takes_pictures
from gateway.jobs.model import Failure, Lease
from schemas.bucket import WEEK_S
from schemas.errors import BadRequest, PayloadTooLarge, StorageUnavailable

log = logging.getLogger(__name__)

FETCHES = 6
"""Tries to fetch a picture, each of them several of boto3's; half a minute in all."""


class BucketWay(Way):
    """Each lease has a folder of its own there, emptied when the job has ended: at once, and again for as long as
    something of it may still run at the endpoint."""

    def __init__(self, place: Place, files: Files) -> None:
        super().__init__(files)
        self._place = place
        self._bucket = Bucket(place)
        self._folders = Folders(files.store, place.id)
        self._sweep = Sweep(self._bucket, self._folders)
        self._sweeping: asyncio.Task[None] | None = None

    async def start(self, live: Collection[str]) -> None:
        for lease in set(await self._folders.unclosed()) - set(live):
            await self._folders.close(lease)
        if left := await self._folders.elsewhere():
            log.warning("The files of %d jobs may be left in a bucket that was configured before", left)
        if not self._place.at_usual_port:
            log.warning("Workers read links at ports 80 and 443 only; the %s is at another", self._place.shown)
        log.info("Pictures travel by the %s", self._place.shown)
        self._sweeping = asyncio.create_task(self._sweep.run())

    async def ready(self) -> None:
        if not self._bucket.proven:
            await self._bucket.prove()

    async def input(self, lease: Lease) -> dict[str, Any]:
        links: dict[str, str] = {}

        async def change(text: str) -> str:
            file = await referred(self._files, text, lease.job.owner)
            if file is None:
                return text
            if file.id not in links:
                links[file.id] = await self._lend(lease, file, len(links))
            return links[file.id]

        await self._folders.open(lease.id, _life_s(lease))
        input: dict[str, Any] = await changed(lease.job.input, change)
        return input

    def extra(self, lease: Lease) -> dict[str, Any]:
        return {OWN_BUCKET: self._place.config(lease.id)} if takes_pictures(lease.job) else {}

    async def fetch(self, lease: Lease, url: str, keep: Keep) -> StoredFile | None:
        key = self._place.key_of(url, lease.id)
        if key is None:
            return None
        try:
            return await self._fetched(key, keep)
        except (BucketError, BadRequest, PayloadTooLarge) as error:
            log.error("A picture cannot be had: %s", error, extra={"job": lease.id})
            raise StorageUnavailable("The images were made but cannot be fetched from the storage") from None

    def told(self, lease: Lease, failure: Failure) -> Failure:
        """A failure without our links; one that is the bucket's fault blames nothing the client sent."""
        if _blames_bucket(failure) and takes_pictures(lease.job):
            log.error("The endpoint cannot use the gateway's bucket: %s", failure.message, extra={"job": lease.id})
            return Failure.of(StorageUnavailable("The storage for images cannot be used"))
        links = re.compile(rf"\S*/{re.escape(self._place.folder(lease.id))}/\S*")
        return replace(failure, detail=_without(links, failure.detail), message=_without(links, failure.message))

    async def settle(self, lease: Lease, *, strays: bool) -> None:
        await self._folders.close(lease.id, None if strays else AGAIN_S)
        self._sweep.wake()

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)
        self._bucket.close()

    async def _lend(self, lease: Lease, file: StoredFile, number: int) -> str:
        key = f"{self._place.folder(lease.id)}/in/{number}/{file.name}"
        disk = self._files.disk
        with await disk.run(lambda: disk.open(file.blob)) as content:
            return await self._bucket.lend(key, content, file.media_type, min(_life_s(lease), WEEK_S))

    async def _fetched(self, key: str, keep: Keep) -> StoredFile:
        pause = Backoff(0.5, 8)
        for _ in range(FETCHES - 1):
            try:
                async with self._bucket.open(key) as content:
                    return await keep(content)
            except BucketError as error:
                if not error.passes:
                    raise
                await asyncio.sleep(pause.next())
        async with self._bucket.open(key) as content:
            return await keep(content)


def _life_s(lease: Lease) -> float:
    """How long the job may be at the endpoint, in seconds."""
    return WAIT_S + lease.job.execution_timeout_s


def _blames_bucket(failure: Failure) -> bool:
    """Whether the worker does not take the `s3Config`."""
    details = failure.detail if isinstance(failure.detail, list) else []
    locs = [item.get("loc") for item in details if isinstance(item, dict)]
    return any(isinstance(loc, list) and loc[:1] == [OWN_BUCKET] for loc in locs)


def _without(links: re.Pattern[str], value: Any) -> Any:
    """A copy of a JSON value in which no text has one of the links."""
    if isinstance(value, str):
        return links.sub("…", value)
    if isinstance(value, dict):
        return {name: _without(links, item) for name, item in value.items()}
    return [_without(links, item) for item in value] if isinstance(value, list) else value
