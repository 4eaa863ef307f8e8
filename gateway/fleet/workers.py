"""Who works here: what each worker was last seen doing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

SILENCE_S = 10.0
"""A living worker asks for stops without a break but for a second; without any request for this long it is gone."""

_FORGET_S = 600.0


class Doing(StrEnum):
    """What a worker is doing."""

    STARTING = "starting"
    IDLE = "idle"
    RUNNING = "running"
    LEAVING = "leaving"
    UNHEALTHY = "unhealthy"
    GONE = "gone"


@dataclass(eq=False)
class Worker:
    """One worker, known by the name it takes jobs with.

    leases: those handed to it and not ended. polls: its requests held open now. leaving: it ends after what it runs,
    and gets nothing more. trouble: why it gets no jobs, in its own words.
    """

    name: str
    local: bool = False
    seen_at: float | None = None
    polls: int = 0
    leases: set[str] = field(default_factory=set)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: str | None = None

    def is_here(self, now: float) -> bool:
        """Whether its main process shows signs of life. Pings do not count: the SDK's come from a process of its own,
        which goes on claiming jobs when the main one is dead."""
        return self.polls > 0 or (self.seen_at is not None and now - self.seen_at < SILENCE_S)

    def doing(self, now: float) -> Doing:
        if self.trouble is not None:
            return Doing.UNHEALTHY
        if self.leaving.is_set():
            return Doing.LEAVING
        if not self.is_here(now):
            return Doing.STARTING if self.local and self.seen_at is None else Doing.GONE
        return Doing.RUNNING if self.leases else Doing.IDLE


class Workers:
    """All workers, by name. Times are monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by_name: dict[str, Worker] = {}

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._by_name.values()))

    def add_local(self, name: str) -> Worker:
        """A worker that is being started on this machine."""
        self._by_name[name] = Worker(name, local=True)
        return self._by_name[name]

    def remove(self, worker: Worker) -> None:
        self._by_name.pop(worker.name, None)

    def get(self, name: str) -> Worker:
        """The worker of this name; a new one when it was not heard of before."""
        if name not in self._by_name:
            self._forget_old()
            self._by_name[name] = Worker(name)
        return self._by_name[name]

    def saw(self, worker: Worker) -> None:
        """Its main process has just done something."""
        worker.seen_at = self._clock()

    @contextmanager
    def polling(self, worker: Worker) -> Iterator[None]:
        """While a request of it is held open."""
        worker.polls += 1
        self.saw(worker)
        try:
            yield
        finally:
            worker.polls -= 1
            self.saw(worker)

    def is_here(self, worker: Worker) -> bool:
        return worker.is_here(self._clock())

    def counts(self) -> dict[Doing, int]:
        """How many are doing what; every state is named."""
        now = self._clock()
        found = Counter(worker.doing(now) for worker in self._by_name.values())
        return {doing: found[doing] for doing in Doing}

    def warm(self) -> bool:
        """Whether a worker could take a job now or after the one it has."""
        counts = self.counts()
        return counts[Doing.IDLE] + counts[Doing.RUNNING] > 0

    def troubles(self) -> list[str]:
        return [f"{worker.name}: {worker.trouble}" for worker in self._by_name.values() if worker.trouble]

    def _forget_old(self) -> None:
        now = self._clock()
        for name, worker in list(self._by_name.items()):
            idle = not worker.local and not worker.leases and not worker.polls
            if idle and now - (worker.seen_at or now) > _FORGET_S:
                del self._by_name[name]
