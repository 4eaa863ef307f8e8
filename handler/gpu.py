"""The one thread that touches the GPU."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from schemas.errors import OutOfMemory

T = TypeVar("T")


class GpuThread:
    """Runs work one piece after the other in a thread of its own.

    The thread is replaced after an OutOfMemory: oneDNN's code generator keeps a failed allocation as its state in
    the thread where it happened, and makes nothing new there ever after.
    """

    def __init__(self) -> None:
        self._line = _thread("gpu-line")
        self._gpu = _thread("gpu")

    def run_now(self, work: Callable[[], T]) -> T:
        """Run `work` in the GPU thread and wait for it; for start-up, outside an event loop."""
        return self._line.submit(self._run, work).result()

    def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        try:
            return self._gpu.submit(copy_context().run, work, *arguments).result()
        except OutOfMemory:
            self._gpu.shutdown(wait=False)
            self._gpu = _thread("gpu")
            raise

    async def run(self, work: Callable[[threading.Event], T]) -> T:
        """Run `work(cancelled)` when the thread is free, in the caller's context (whose job it is).

        When the caller is cancelled, waiting work is dropped. Running work sees its event set, and this waits
        until it has really ended before the cancellation goes on, so that no later job overlaps a dying one.
        """
        cancelled = threading.Event()
        submitted = self._line.submit(copy_context().run, self._run, work, cancelled)
        future = asyncio.wrap_future(submitted)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            cancelled.set()
            if not submitted.cancel():
                await _ended(future)
            raise


def _thread(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)


async def _ended(future: asyncio.Future[T]) -> None:
    """Wait until `future` is done, even if cancelled again meanwhile. Nobody asks for its outcome any more."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()
