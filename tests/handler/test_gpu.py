"""One piece of GPU work at a time, and a cancelled one has really ended before anything else begins."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from handler.gpu import GpuThread


def test_results_and_errors_come_back() -> None:
    async def main() -> None:
        gpu = GpuThread()
        assert await gpu.run(lambda cancelled: 5) == 5
        with pytest.raises(ZeroDivisionError):
            await gpu.run(lambda cancelled: 1 / 0)
        assert await gpu.run(lambda cancelled: 6) == 6

    asyncio.run(main())


def test_a_cancelled_job_ends_before_the_next_begins() -> None:
    events: list[str] = []
    begun = threading.Event()

    def first_work(cancelled: threading.Event) -> None:
        begun.set()
        events.append("cancelled" if cancelled.wait(60) else "left alone")
        time.sleep(0.1)
        events.append("first ended")

    async def main() -> None:
        gpu = GpuThread()
        first = asyncio.create_task(gpu.run(first_work))
        second = asyncio.create_task(gpu.run(lambda cancelled: events.append("second began")))
        assert await asyncio.to_thread(begun.wait, 60)
        first.cancel()
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert "first ended" in events
        await second

    asyncio.run(main())
    assert events == ["cancelled", "first ended", "second began"]


def test_waiting_work_is_dropped_when_cancelled() -> None:
    ran: list[str] = []
    begun, release = threading.Event(), threading.Event()

    def long_work(cancelled: threading.Event) -> None:
        begun.set()
        release.wait(60)

    async def main() -> None:
        gpu = GpuThread()
        busy = asyncio.create_task(gpu.run(long_work))
        waiting = asyncio.create_task(gpu.run(lambda cancelled: ran.append("waiting")))
        assert await asyncio.to_thread(begun.wait, 60)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        await busy
        await gpu.run(lambda cancelled: ran.append("later"))

    asyncio.run(main())
    assert ran == ["later"]
