"""What workers are to stop: kept per worker until it asks."""

from __future__ import annotations

import asyncio
import contextlib

MAX_KEPT = 1024
"""Stops kept for one worker that does not ask."""


class Stops:
    """Lease ids that workers should stop working on."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, None]] = {}
        self._polls: dict[str, set[asyncio.Event]] = {}

    def add(self, worker: str, lease: str) -> None:
        kept = self._waiting.setdefault(worker, {})
        if len(kept) < MAX_KEPT:
            kept[lease] = None
        for poll in self._polls.get(worker, ()):
            poll.set()

    def forget(self, worker: str) -> None:
        self._waiting.pop(worker, None)

    async def take(self, worker: str, hold_s: float) -> list[str]:
        """What the worker is to stop, waiting up to `hold_s` for something; each is told once."""
        if worker not in self._waiting:
            await self._wait(worker, hold_s)
        return list(self._waiting.pop(worker, ()))

    def wake_all(self) -> None:
        """End every held poll."""
        for polls in self._polls.values():
            for poll in polls:
                poll.set()

    async def _wait(self, worker: str, hold_s: float) -> None:
        poll = asyncio.Event()
        self._polls.setdefault(worker, set()).add(poll)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(poll.wait(), hold_s)
        finally:
            self._polls[worker].discard(poll)
            if not self._polls[worker]:
                del self._polls[worker]
