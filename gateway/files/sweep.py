"""What ends, goes: files past their time, those of attempts that led to nothing, and what a crash left behind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gateway.files import rows
from gateway.files.files import Files
from gateway.jobs.model import Job, State

if TYPE_CHECKING:
    from gateway.jobs.jobs import Jobs

log = logging.getLogger(__name__)

EVERY_S = 5.0
BATCH = 500
"""Files dropped in one transaction."""


class Sweep:
    """Goes over the files of one gateway, and lets go of inputs when their jobs' records go."""

    def __init__(self, files: Files, jobs: Jobs) -> None:
        self._files = files
        self._jobs = jobs
        jobs.on_delete(self._release)

    async def at_start(self) -> None:
        """Drop what a stopped process left: half-written files, content without a row, rows without content, parts of
        no upload, inputs of no job. Call before serving."""
        disk = self._files.disk
        half = await disk.run(disk.clear_incoming)
        known = dict(await self._files.store.read(lambda connection: rows.pairs(connection, "blobs")))
        there = await disk.run(disk.names)
        await self._files.remove_blobs(there - set(known.values()))
        lost = [file_id for file_id, blob in known.items() if blob not in there]
        for file_id in lost:
            await self._files.drop(file_id)
        uploads = set(await self._files.store.read(lambda connection: rows.taken(connection, "uploads")))
        folders = await disk.run(lambda: {path.name for path in disk.parts.iterdir()})
        await self._drop_parts(folders - uploads)
        await self.release_inputs()
        if half or lost:
            log.warning("files: %d half-written dropped, %d without content forgotten", half, len(lost))

    async def run(self) -> None:
        """Sweep every EVERY_S seconds until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.once()
            except Exception:
                log.exception("files: the sweep failed and is tried again")

    async def once(self) -> None:
        """Settle the files of jobs that ended, drop what is past its time."""
        for job_id, last_lease in await self._files.store.read(lambda c: rows.pairs(c, "unsettled")):
            job = await self._jobs.get(job_id)
            if job is None or job.state.final:
                await self._settle(job_id, last_lease, job)
        await self._drop_expired()

    async def release_inputs(self) -> None:
        """Let go of the inputs of jobs that are gone."""
        await self._release(await self._files.store.read(lambda c: rows.taken(c, "held_for_nothing")))

    async def _release(self, job_ids: Sequence[str]) -> None:
        await asyncio.gather(*map(self._files.release, job_ids))

    async def _settle(self, job_id: str, last_lease: str | None, job: Job | None) -> None:
        """A job whose record went before its files were settled keeps those of its last attempt."""
        now = self._files.clock()
        if job is None:
            await self._files.settle(job_id, last_lease, now + self._files.limits.file_ttl_s)
        else:
            kept = f"{job_id}-a{job.attempts}" if job.state is State.COMPLETED else None
            await self._files.settle(job_id, kept, (job.ended_at or now) + job.file_ttl_s)

    async def _drop_expired(self) -> None:
        now, store = self._files.clock(), self._files.store
        while blobs := await store.write(lambda c: rows.taken(c, "drop_expired", now=now, limit=BATCH)):
            await self._files.remove_blobs(blobs)
        await self._drop_parts(set(await store.write(lambda c: rows.taken(c, "drop_expired_uploads", now=now))))

    async def _drop_parts(self, folders: set[str]) -> None:
        for folder in folders:
            await self._files.disk.run(lambda folder=folder: self._files.disk.drop_parts(folder))
