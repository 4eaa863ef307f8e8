"""A queue on a store of its own, with clocks the test moves; nothing happens by itself in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import NewJob
from gateway.jobs.policy import Policy
from gateway.jobs.store import Store


class HandClock:
    """Clocks that stand still until the test moves them."""

    def __init__(self) -> None:
        self.wall = 1_800_000_000.0
        self.ticks = 1000.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.ticks += seconds


def new(owner: str = "ann", **options: Any) -> NewJob:
    """A job as a door would submit it."""
    return NewJob(**{"owner": owner, "door": "fal", "app": "fal-ai/fooocus", "input": {"prompt": "a cat"}, **options})


async def pass_time(jobs: Jobs, clock: HandClock, seconds: float) -> None:
    """Let time pass as a running gateway sees it: in ticks."""
    while seconds > 0:
        step = min(seconds, 1.0)
        clock.advance(step)
        await jobs.tick()
        seconds -= step


async def settle(condition: Callable[[], bool]) -> None:
    """Wait, at most a minute, until something is so."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


Open = Callable[..., Awaitable[Jobs]]


@pytest.fixture
async def open_jobs(tmp_path: Path, clock: HandClock) -> AsyncIterator[Open]:
    """Open the queue of `tmp_path`; opening it again is a restart without a clean end."""
    opened: list[tuple[Jobs, Store]] = []

    async def open_(**policy: Any) -> Jobs:
        await close_()
        store = Store(tmp_path)
        jobs = Jobs(store, Policy(**policy), clock)
        await jobs.start(sweep=False)
        opened.append((jobs, store))
        return jobs

    async def close_() -> None:
        while opened:
            jobs, store = opened.pop()
            await jobs.close()
            store.close()

    yield open_
    await close_()


@pytest.fixture
async def jobs(open_jobs: Open) -> Jobs:
    return await open_jobs()
