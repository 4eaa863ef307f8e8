"""Progress of one job: collected from the GPU thread, posted one at a time, none after the result."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from handler.engine.step import Step

Post = Callable[[dict[str, Any]], Awaitable[None]]
"""Sends one progress payload to wherever jobs come from; it must not raise."""


class Progress(Protocol):
    """Where the steps of a job go."""

    def report(self, step: Step) -> None:
        """Take note of a step. Called in the GPU thread; never blocks on the network."""

    async def drain(self, flush: bool) -> None:
        """Return when nothing more will be sent; `flush` sends what is still waiting first."""


def payload(step: Step, preview: bool) -> dict[str, Any]:
    """The JSON a client sees while a job runs; `preview` is a data URI."""
    body: dict[str, Any] = {
        "image": step.image,
        "images": step.images,
        "step": step.step,
        "steps": step.steps,
        "progress": round((step.image + step.step / step.steps) / step.images, 4),
    }
    if preview:
        body["preview"] = "data:image/jpeg;base64," + base64.b64encode(step.preview()).decode()
    return body


class PostedProgress:
    """Posts the newest step, at most one every `interval_s` seconds; older unsent ones are dropped.

    Must be made inside the event loop that posts.
    """

    def __init__(self, post: Post, interval_s: float, preview: bool) -> None:
        self._post = post
        self._interval_s = interval_s
        self._preview = preview
        self._due = 0.0
        self._waiting: dict[str, Any] | None = None
        self._wake = asyncio.Event()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    def report(self, step: Step) -> None:
        now = time.monotonic()
        last = step.step == step.steps and step.image == step.images - 1
        if now < self._due and not last:
            return
        self._due = now + self._interval_s
        self._loop.call_soon_threadsafe(self._offer, payload(step, self._preview and not last))

    def _offer(self, body: dict[str, Any]) -> None:
        if not self._closed:
            self._waiting = body
            self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            body, self._waiting = self._waiting, None
            if body is not None:
                await self._post(body)
            if self._closed and self._waiting is None:
                return

    async def drain(self, flush: bool) -> None:
        self._closed = True
        if not flush:
            self._waiting = None
        self._wake.set()
        await self._task


class ConsoleProgress:
    """A progress bar on standard error, for a job run by hand."""

    def __init__(self) -> None:
        from tqdm import tqdm

        self._bar = tqdm(total=0, unit="step", leave=True)

    def report(self, step: Step) -> None:
        self._bar.total = step.images * step.steps
        self._bar.n = step.image * step.steps + step.step
        self._bar.refresh()

    async def drain(self, flush: bool) -> None:
        self._bar.close()


class SilentProgress:
    """For jobs nobody watches."""

    def report(self, step: Step) -> None:
        """Take no note."""

    async def drain(self, flush: bool) -> None:
        """Nothing waits."""


@asynccontextmanager
async def draining(progress: Progress) -> AsyncIterator[Progress]:
    """Ends the progress of a job: what is waiting is sent after success and dropped otherwise."""
    try:
        yield progress
    except BaseException:
        await progress.drain(flush=False)
        raise
    await progress.drain(flush=True)
