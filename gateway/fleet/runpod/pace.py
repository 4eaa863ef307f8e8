"""How often the endpoint is called."""

from __future__ import annotations

import asyncio
import random
import time

JITTER = 0.2


class Backoff:
    """Pauses that grow from `first` to `most` seconds by `factor`, each up to JITTER shorter or longer."""

    def __init__(self, first: float, most: float, factor: float = 1.6) -> None:
        self._first, self._most, self._factor = first, most, factor
        self._now = first

    def next(self) -> float:
        pause = self._now
        self._now = min(self._now * self._factor, self._most)
        return pause * random.uniform(1 - JITTER, 1 + JITTER)

    def reset(self) -> None:
        self._now = self._first


class Lane:
    """The calls of one operation: at most `at_once` open, at most `per_s` begun in a second, and none before the time
    the endpoint has asked for. Enter it for each call."""

    def __init__(self, per_s: float, at_once: int) -> None:
        self._gap = 1 / per_s
        self._room = asyncio.Semaphore(at_once)
        self._next = 0.0

    async def __aenter__(self) -> None:
        await self._room.acquire()
        try:
            while (wait := self._next - time.monotonic()) > 0:
                await asyncio.sleep(wait)
        except BaseException:
            self._room.release()
            raise
        self._next = max(self._next, time.monotonic()) + self._gap

    async def __aexit__(self, *_: object) -> None:
        self._room.release()

    def pause(self, seconds: float) -> None:
        """Begin no call for so long."""
        self._next = max(self._next, time.monotonic() + seconds)
