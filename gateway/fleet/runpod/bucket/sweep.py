"""Empties the folders of jobs that have ended."""

from __future__ import annotations

import asyncio
import logging
import time

from gateway.fleet.runpod.bucket.bucket import Bucket
from gateway.fleet.runpod.bucket.folders import Closed, Folders
from gateway.fleet.runpod.errors import BucketError
from gateway.fleet.runpod.waiting import waited
from schemas.errors import StoreUnavailable

log = logging.getLogger(__name__)

EVERY_S = 10.0
AGAIN_S = 60.0
"""A folder is looked into once more after so long, then after twice that: a listing may lag behind, and a job that was
cancelled or lost may still put a picture there."""

RETRY_S = 30.0


class Sweep:
    """`run` empties each folder as soon as it is closed and `wake` was called."""

    def __init__(self, bucket: Bucket, folders: Folders) -> None:
        self._bucket = bucket
        self._folders = folders
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            self._woken.clear()
            try:
                while due := await self._folders.due():
                    await asyncio.gather(*map(self._look, due))
            except StoreUnavailable as error:
                log.warning("The bucket is swept later: %s", error)
            await waited(self._woken, EVERY_S)

    async def _look(self, closed: Closed) -> None:
        try:
            await self._bucket.clear(self._bucket.place.folder(closed.lease))
        except BucketError as error:
            log.warning("Files of a job are still to be deleted: %s", error, extra={"job": closed.lease})
            await self._folders.later(closed.lease, RETRY_S)
            return
        age = time.time() - closed.closed_at
        if age >= closed.life_s:
            await self._folders.forget(closed.lease)
        else:
            await self._folders.later(closed.lease, max(AGAIN_S, min(age, closed.life_s - age)))
