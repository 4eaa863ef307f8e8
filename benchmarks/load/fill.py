"""A long queue, made without HTTP: the store's own share of the work."""

from __future__ import annotations

import asyncio
import time
from itertools import repeat
from pathlib import Path

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Job, NewJob
from gateway.jobs.policy import Policy
from gateway.jobs.store import Store

AT_ONCE = 256


async def fill(data: Path, like: str, total: int) -> tuple[list[str], float, float]:
    """Queue copies of the job with id `like` until `total` wait; their ids, and seconds of time and of CPU it took."""
    store = Store(data)
    jobs = Jobs(store, Policy(max_queued=total))
    await jobs.start(sweep=False)
    model = await jobs.get(like)
    missing = iter(range(total - jobs.counts().queued))
    ids: list[str] = []
    begun, cpu = time.monotonic(), time.process_time()

    async def submit_all(new: NewJob) -> None:
        for _ in missing:
            ids.append((await jobs.submit(new)).id)

    await asyncio.gather(*map(submit_all, repeat(_copy(model), AT_ONCE)))
    taken = time.monotonic() - begun, time.process_time() - cpu
    await jobs.close()
    store.close()
    return ids, *taken


def _copy(job: Job) -> NewJob:
    return NewJob(owner=job.owner, door=job.door, app=job.app, input=job.input, extra=job.extra)
