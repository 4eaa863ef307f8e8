"""How long a job can wait there, and waiting here that an event cuts short."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

WAIT_S = 25 * 3600.0
"""The platform itself drops a job a day after it came; this is for when nothing is heard of it any more, and how much
longer than a job's own time what it needs from us is kept."""


async def unless(halt: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of `work`; None, and the work cancelled, when the event comes first."""
    task, halted = asyncio.ensure_future(work), asyncio.ensure_future(halt.wait())
    try:
        await asyncio.wait({task, halted}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for future in (task, halted):
            future.cancel()
        await asyncio.gather(task, halted, return_exceptions=True)


async def waited(halt: asyncio.Event, seconds: float) -> bool:
    """Sleep; whether the event cut that short."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(halt.wait(), seconds)
    return halt.is_set()
