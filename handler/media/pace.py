"""How long a download may still wait for its next bytes."""

from __future__ import annotations

import time


class Pace:
    """Three limits of one connection as one number: the seconds the next receive may take.

    deadline: `time.monotonic()` at which the whole download ends. first_byte_s: silence allowed before the
    first byte, and again, in sum, after it. min_bytes_per_s: floor of the mean rate from the first byte on.
    """

    def __init__(self, deadline: float, first_byte_s: float, min_bytes_per_s: float) -> None:
        self._deadline = deadline
        self._first_byte_s = first_byte_s
        self._min_bytes_per_s = min_bytes_per_s
        self._since = time.monotonic()
        self._received = 0

    def patience(self) -> float:
        """Seconds (> 0) until a limit is reached. TimeoutError when one is."""
        slowest = self._since + self._first_byte_s + self._received / self._min_bytes_per_s
        left = min(self._deadline, slowest) - time.monotonic()
        if left <= 0:
            raise TimeoutError("the server is too slow")
        return left

    def count(self, received: int) -> None:
        """Note that `received` bytes have come."""
        if not self._received:
            self._since = time.monotonic()
        self._received += received
