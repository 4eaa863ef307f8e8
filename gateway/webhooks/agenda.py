"""Which delivery is tried next: by time, few at a time for one target, first attempts apart from retries."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field

from gateway.webhooks.policy import Policy


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """A delivery that waits. target: host and port, or anything that is one place to hurt."""

    due: float
    id: str
    target: str = field(compare=False)
    first: bool = field(compare=False)


class Agenda:
    """Deliveries of one process, each at most once: waiting for their time, for room, or under way."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._known: set[str] = set()
        self._later: list[Entry] = []
        self._ready: dict[tuple[bool, str], deque[Entry]] = {}
        self._turns: dict[bool, deque[str]] = {True: deque(), False: deque()}
        self._busy: Counter[str] = Counter()
        self._running: Counter[bool] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, entry: Entry) -> None:
        """Plan a delivery; one that is planned or under way already stays as it is."""
        if entry.id not in self._known:
            self._known.add(entry.id)
            heapq.heappush(self._later, entry)

    def next_due(self) -> float | None:
        """When the next one's time comes."""
        return self._later[0].due if self._later else None

    def take(self, now: float) -> list[Entry]:
        """What is to be started now; `done` has to follow for each."""
        while self._later and self._later[0].due <= now:
            self._make_ready(heapq.heappop(self._later))
        return [*self._take(True, self._policy.first_slots), *self._take(False, self._policy.retry_slots)]

    def done(self, entry: Entry, again: Entry | None = None) -> None:
        """An attempt has ended. again: when it is to be tried once more."""
        self._busy[entry.target] -= 1
        if not self._busy[entry.target]:
            del self._busy[entry.target]
        self._running[entry.first] -= 1
        self._known.discard(entry.id)
        if again is not None:
            self.add(again)

    def _make_ready(self, entry: Entry) -> None:
        waiting = self._ready.setdefault((entry.first, entry.target), deque())
        if not waiting:
            self._turns[entry.first].append(entry.target)
        waiting.append(entry)

    def _take(self, first: bool, slots: int) -> list[Entry]:
        """One of each target in turn, while there is room."""
        chosen, turns = [], self._turns[first]
        blocked = 0
        while turns and blocked < len(turns) and self._running[first] < slots:
            target = turns.popleft()
            if self._busy[target] >= self._policy.per_target:
                turns.append(target)
                blocked += 1
                continue
            chosen.append(self._start(first, target))
            blocked = 0
        return chosen

    def _start(self, first: bool, target: str) -> Entry:
        waiting = self._ready[first, target]
        entry = waiting.popleft()
        if waiting:
            self._turns[first].append(target)
        else:
            del self._ready[first, target]
        self._busy[target] += 1
        self._running[first] += 1
        return entry
