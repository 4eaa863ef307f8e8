"""The two clocks. Leases and deadlines count on the monotonic one; the wall clock only dates records."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the queue reads the time."""

    def time(self) -> float:
        """Unix seconds, for people; may jump."""

    def monotonic(self) -> float:
        """Seconds that only grow, from an arbitrary start."""


class SystemClock:
    """The machine's clocks."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()
