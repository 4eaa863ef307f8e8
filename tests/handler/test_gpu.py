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
    spans: dict[str, tuple[float, float]] = {}

    def work(name: str, seconds: float):
        def run(cancelled: threading.Event) -> None:
            begin = time.monotonic()
            cancelled.wait(seconds)
            time.sleep(0.1)
            spans[name] = (begin, time.monotonic())

        return run

    async def main() -> None:
        gpu = GpuThread()
        first = asyncio.create_task(gpu.run(work("first", 30)))
        second = asyncio.create_task(gpu.run(work("second", 0)))
        await asyncio.sleep(0.1)
        first.cancel()
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert "first" in spans
        await second

    asyncio.run(main())
    assert spans["first"][1] <= spans["second"][0]
    assert spans["first"][1] - spans["first"][0] < 5


def test_waiting_work_is_dropped_when_cancelled() -> None:
    ran: list[str] = []

    async def main() -> None:
        gpu = GpuThread()
        busy = asyncio.create_task(gpu.run(lambda cancelled: time.sleep(0.2)))
        waiting = asyncio.create_task(gpu.run(lambda cancelled: ran.append("waiting")))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await busy
        await gpu.run(lambda cancelled: ran.append("later"))

    asyncio.run(main())
    assert ran == ["later"]
