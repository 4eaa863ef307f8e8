"""When a webhook is tried again, and when no more."""

from __future__ import annotations

import random
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Seconds, unless said otherwise.

    first_timeout_s, timeout_s: how long the first and the later attempts wait for an answer; 15 and 120 are fal's.
    max_attempts: fal's is 32. first_delay_s: between first and second attempt; doubles up to max_delay_s. jitter: the
    share by which a delay varies. With the defaults the last attempt is about 22 hours after the first. per_target:
    attempts at a time at one host and port. first_slots, retry_slots: attempts at a time in all.
    """

    first_timeout_s: float = 15.0
    timeout_s: float = 120.0
    max_attempts: int = 32
    first_delay_s: float = 5.0
    max_delay_s: float = 3600.0
    jitter: float = 0.2
    per_target: int = 4
    first_slots: int = 256
    retry_slots: int = 256

    def timeout(self, attempts: int) -> float:
        """How long the attempt after `attempts` earlier ones waits."""
        return self.timeout_s if attempts else self.first_timeout_s

    def delay(self, attempts: int, asked_s: float | None, draw: random.Random) -> float | None:
        """Seconds until the next attempt, `attempts` having failed; None when that was the last.

        asked_s: what the receiver asked for; honoured up to max_delay_s, and never shortens the wait.
        """
        if attempts >= self.max_attempts:
            return None
        # The exponent is bounded so that no count of attempts overflows a float.
        steady = min(self.first_delay_s * 2.0 ** min(attempts - 1, 64), self.max_delay_s)
        varied = steady * draw.uniform(1 - self.jitter, 1 + self.jitter)
        return max(varied, min(asked_s or 0.0, self.max_delay_s))


def asked_wait(header: str | None, now: float) -> float | None:
    """Seconds a Retry-After header asks for, RFC 9110 section 10.2.3: a number or a date. None if it is neither."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
