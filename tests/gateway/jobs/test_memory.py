"""Memory is bounded by what lives: jobs that have ended leave nothing behind in the process."""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
import tracemalloc
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import LogLine, Progress, State
from gateway.jobs.store import Store
from tests.gateway.jobs.conftest import HandClock, new, pass_time

pytestmark = pytest.mark.anyio

MEMORY = Path("/dev/shm")
PREVIEW = "data:image/jpeg;base64," + "x" * 5000


@pytest.fixture
async def small(clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Jobs]:
    """A queue that remembers few jobs, on a disk that is memory where there is one: durability is not the point."""
    monkeypatch.setattr("gateway.jobs.board.RECENT_CHARS", 100_000)
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    store = Store(folder)
    jobs = Jobs(store, clock=clock)
    await jobs.start(sweep=False)
    yield jobs
    await jobs.close()
    store.close()
    shutil.rmtree(folder)


async def life(jobs: Jobs, number: int) -> None:
    """One job, watched from start to end; every fifth is cancelled."""
    job = await jobs.submit(new(f"owner{number % 9}", start_within_s=1e9, input={"prompt": f"{number}" + "x" * 500}))
    watching = asyncio.create_task(jobs.wait(job.id, 60))
    await asyncio.sleep(0)
    jobs.log(job.id, LogLine(0, "INFO", "waiting"))
    if number % 5 == 0:
        await jobs.cancel(job.id)
    assert (await watching).state.final


async def work(jobs: Jobs, name: str) -> None:
    """A worker that gives every seventh job back."""
    for number in count():
        for lease in await jobs.take(name, 2, 30):
            await jobs.report(lease.id, name, Progress(1, 1, 1, 30, 0.03, PREVIEW))
            if number % 7:
                await jobs.finish(lease.id, name, {"images": ["x" * 200]})
            else:
                await jobs.give_back(lease.id)
        await jobs.stops(name, 0)


async def run(jobs: Jobs, start: int, times: int) -> int:
    """Bytes in use after so many jobs more."""
    workers = [asyncio.create_task(work(jobs, f"w{number}")) for number in range(8)]
    for first in range(start, start + times, 50):
        await asyncio.gather(*(life(jobs, number) for number in range(first, first + 50)))
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    for number in range(8):
        await jobs.stops(f"w{number}", 0)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def test_hundreds_of_jobs_leave_nothing(small: Jobs) -> None:
    tracemalloc.start()
    try:
        warm = await run(small, 0, 200)
        after = await run(small, 200, 500)
    finally:
        tracemalloc.stop()
    board = small._board
    assert (len(board.line), len(board.leases), len(board.events), len(board.claiming)) == (0, 0, 0, 0)
    assert len(board.recent) <= 50
    assert len(board._starts) <= 2048
    assert (board.stops._waiting, board.stops._polls) == ({}, {})
    assert after - warm < 200_000, "four hundred bytes a job would be a leak"


async def test_jobs_lost_and_late_leave_nothing(small: Jobs, clock: HandClock) -> None:
    for _ in range(20):
        await small.submit(new(start_within_s=5))
        await small.submit(new(max_attempts=1))
    leases = await small.take("w", 20, 1)
    for lease in leases:
        await small.report(lease.id, "w", Progress(1, 1, 1, 30, 0.03, PREVIEW))
    await pass_time(small, clock, 31)
    await small.take("w", 40, 0)
    await pass_time(small, clock, 31)
    await small.take("w", 40, 0)
    await pass_time(small, clock, 31)
    states = [(await small.get(lease.job.id)).state for lease in leases]
    assert set(states) <= {State.FAILED, State.QUEUED}
    board = small._board
    assert len(board.leases) == len(board.events) == len(board.claiming) == 0
