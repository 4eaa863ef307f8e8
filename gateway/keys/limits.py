"""How many jobs a key may submit in a minute."""

from __future__ import annotations

import time
from collections.abc import Callable


class Rates:
    """A token bucket for each key: a minute's worth at once, refilled evenly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def spend(self, owner: str, per_minute: int) -> float:
        """Take one; return 0, or the seconds until there is one again."""
        if per_minute == 0:
            return 0.0
        now = self._clock()
        tokens, since = self._buckets.get(owner, (float(per_minute), now))
        tokens = min(float(per_minute), tokens + (now - since) * per_minute / 60)
        if tokens < 1:
            self._buckets[owner] = (tokens, now)
            return (1 - tokens) * 60 / per_minute
        self._buckets[owner] = (tokens - 1, now)
        return 0.0
