"""What travels to the endpoint and back."""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.files.files import Files
from gateway.files.model import StoredFile
from gateway.files.names import safe_name
from gateway.fleet.fleet import OWN_BUCKET
from gateway.fleet.runpod.download import Downloads, NotFetched
from gateway.fleet.runpod.ways import Way, takes_pictures
from gateway.jobs.model import Job, Lease
from gateway.settings import Settings
from gateway.urls import own_url
from schemas.errors import BadRequest, FileTooLarge, FooocusError, PayloadTooLarge, StorageUnavailable
from schemas.runpod import WEEK_MS

log = logging.getLogger(__name__)

MAX_BODY = 10_000_000
"""Bytes of a job the platform takes (`/run`)."""

SHORTEST_MS = 5_000

class Transport:
    """Jobs to bodies of `/run`, and results to results of ours. way: how pictures travel."""

    def __init__(self, settings: Settings, files: Files, downloads: Downloads, way: Way) -> None:
        self.way = way
        self._files = files
        self._downloads = downloads
        self._base = own_url(settings)

    async def pack(self, lease: Lease) -> bytes:
        """The body of `/run`. Raises FileTooLarge, naming the field of the largest picture, and what `Way.input`
        raises."""
        job = lease.job
        body: dict[str, Any] = {"input": await self.way.input(lease), "policy": _policy(job), **self.way.extra(lease)}
        if OWN_BUCKET in job.extra:
            body[OWN_BUCKET] = job.extra[OWN_BUCKET]
        data = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
        if len(data) > MAX_BODY:
            raise _too_large(body["input"])
        return data

    async def unpack(self, lease: Lease, output: Mapping[str, Any]) -> dict[str, Any]:
        """The result with its pictures among our files, unless its client wanted them elsewhere: inline, or in a
        bucket of its own.

        A picture whose URL cannot be fetched keeps it. Raises StorageUnavailable when an inline one cannot be stored,
        or one that was put where we asked cannot be had.
        """
        images = output.get("images")
        if not isinstance(images, list) or not takes_pictures(lease.job):
            return dict(output)
        names = _names(images)
        return {**output, "images": [await self._kept(lease, *pair) for pair in zip(images, names, strict=True)]}

    async def _kept(self, lease: Lease, image: Any, name: str) -> Any:
        url = image.get("url") if isinstance(image, Mapping) else None
        if not isinstance(url, str) or await self._files.resolve(url) is not None:
            return image
        if url.startswith("data:"):
            file = await self._stored(lease, url, name)
        else:
            file = await self.way.fetch(lease, url, lambda content: self._add(lease, content, name))
            file = file or await self._copied(lease, url, name)
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


def _policy(job: Job) -> dict[str, Any]:
    limit = min(max(round(job.execution_timeout_s * 1000), SHORTEST_MS), WEEK_MS)
    return {"executionTimeout": limit} | ({"lowPriority": True} if job.low_priority else {})


def _names(images: list[Any]) -> list[str]:
    """A name for each picture, its own where that is given once."""
    told = [image.get("file_name") if isinstance(image, Mapping) else None for image in images]
    safe = [safe_name(name) if isinstance(name, str) else "" for name in told]
    return [name if name and safe.count(name) == 1 else f"picture-{index}" for index, name in enumerate(safe)]


def _too_large(input: Mapping[str, Any]) -> FileTooLarge:
    log.error("A job has more than RunPod takes; with a public URL or a bucket its pictures would go as links")
    loc, text = max(_texts(input, ["body"]), key=lambda found: len(found[1]))
    return FileTooLarge(loc, input=text, max_size=MAX_BODY)


def _texts(value: Any, loc: list[str | int]) -> Iterator[tuple[list[str | int], str]]:
    if isinstance(value, str):
        yield loc, value
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _texts(item, [*loc, name])
