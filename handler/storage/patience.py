"""How long a storage server is given."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits of one upload.

    attempts: tries in all. total_s: seconds for all tries and the pauses between them, never exceeded.
    connect_s: seconds to resolve the name, connect and agree on TLS. silence_s: seconds without a byte moving.
    pause_s: mean pause after the first failed try; it doubles with each try.
    """

    attempts: int = 4
    total_s: float = 30
    connect_s: float = 5
    silence_s: float = 10
    pause_s: float = 0.5

    def pause(self, attempt: int) -> float:
        """Seconds to wait after failed try number `attempt` (from 0); random, so that workers spread out."""
        return self.pause_s * 2.0**attempt * random.uniform(0.5, 1.5)


ONE_TRY = Patience(attempts=1, total_s=5, connect_s=3, silence_s=5)
"""For what is good to do and not worth waiting for."""
