"""How often a RunPod endpoint may be called: so many calls in ten seconds, and so many open at once."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque

WINDOW_S = 10.0
DOCUMENTED = {
    "run": (1000, 200),
    "runsync": (2000, 400),
    "status": (2000, 400),
    "stream": (2000, 400),
    "cancel": (100, 20),
}
"""Calls in a window and open calls of an operation. `health` has no documented limit."""


class Rates:
    """Counts calls. taken: calls of a window that others make all the time, by operation."""

    def __init__(self, taken: dict[str, int] | None = None) -> None:
        self.taken = taken or {}
        self.refused: Counter[str] = Counter()
        self._begun: defaultdict[str, deque[float]] = defaultdict(deque)
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    def begin(self, operation: str, now: float) -> bool:
        """Whether a call at `now` (monotonic seconds) is within the limits; say `end` when it is over."""
        in_window, at_once = DOCUMENTED.get(operation, (2**31, 2**31))
        with self._lock:
            begun = self._begun[operation]
            while begun and begun[0] <= now - WINDOW_S:
                begun.popleft()
            used = len(begun) + self.taken.get(operation, 0)
            if used >= in_window or self._open[operation] >= at_once:
                self.refused[operation] += 1
                return False
            begun.append(now)
            self._open[operation] += 1
            return True

    def end(self, operation: str) -> None:
        with self._lock:
            self._open[operation] -= 1
