"""Progress leaves in order, one post at a time, newest first when slow, and never after the job ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from handler.engine.step import Step
from handler.progress import PostedProgress, draining, payload


def step(number: int, steps: int = 10, image: int = 0, images: int = 1) -> Step:
    return Step(image, images, number, steps, preview=lambda: b"jpeg")


class Receiver:
    """A place for posts to go; notes what came and whether two posts overlapped. slow: a post ends when it is let."""

    def __init__(self, slow: bool = False) -> None:
        self.begun = 0
        self.bodies: list[dict[str, Any]] = []
        self.let = asyncio.Event()
        self.busy = False
        self.overlapped = False
        if not slow:
            self.let.set()

    async def __call__(self, body: dict[str, Any]) -> None:
        self.overlapped |= self.busy
        self.busy = True
        self.begun += 1
        await self.let.wait()
        await asyncio.sleep(0)
        self.bodies.append(body)
        self.busy = False

    async def until_begun(self, posts: int) -> None:
        async with asyncio.timeout(60):
            while self.begun < posts:
                await asyncio.sleep(0.001)


async def run(
    receiver: Receiver, interval_s: float, steps: int = 10, fail: bool = False, each_posted: bool = False
) -> None:
    """Report steps, the second when the first is being posted. each_posted: and each when the one before it is."""
    async with draining(PostedProgress(receiver, interval_s, preview=True)) as progress:
        for number in range(1, steps + 1):
            await asyncio.to_thread(progress.report, step(number, steps))
            await receiver.until_begun(number if each_posted else 1)
        asyncio.get_running_loop().call_later(0.05, receiver.let.set)
        if fail:
            raise RuntimeError("job failed")


def test_every_step_in_order_when_there_is_time() -> None:
    receiver = Receiver()
    asyncio.run(run(receiver, interval_s=0, each_posted=True))
    assert [body["step"] for body in receiver.bodies] == list(range(1, 11))
    assert receiver.bodies[0]["preview"] == "data:image/jpeg;base64,anBlZw=="
    assert receiver.bodies[-1]["progress"] == 1.0


def test_a_slow_receiver_gets_fewer_but_the_last() -> None:
    receiver = Receiver(slow=True)
    asyncio.run(run(receiver, interval_s=0))
    assert [body["step"] for body in receiver.bodies] == [1, 10]
    assert not receiver.overlapped


def test_the_interval_is_kept() -> None:
    receiver = Receiver()
    asyncio.run(run(receiver, interval_s=60))
    assert [body["step"] for body in receiver.bodies] == [1, 10]


def test_nothing_after_the_end() -> None:
    async def main() -> list[int]:
        receiver = Receiver(slow=True)
        progress = PostedProgress(receiver, 0, preview=False)
        progress.report(step(1))
        await receiver.until_begun(1)
        asyncio.get_running_loop().call_later(0.05, receiver.let.set)
        await progress.drain(flush=True)
        before = len(receiver.bodies)
        progress.report(step(2))
        await asyncio.sleep(0.2)
        return [before, len(receiver.bodies)]

    before, after = asyncio.run(main())
    assert before == after == 1


def test_a_failed_job_drops_what_waits() -> None:
    receiver = Receiver(slow=True)
    with pytest.raises(RuntimeError, match="job failed"):
        asyncio.run(run(receiver, interval_s=0, fail=True))
    assert len(receiver.bodies) <= 1


def test_progress_counts_all_images() -> None:
    assert payload(step(5, 10, image=1, images=2), preview=False)["progress"] == 0.75
    assert "preview" not in payload(step(1), preview=False)
