"""What a caller says about a job beside its input: fal's headers and query parameters."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from schemas.errors import BadRequest

WEBHOOK = "fal_webhook"
MAX_QUEUE_LENGTH = "fal_max_queue_length"
PRIORITY = "x-fal-queue-priority"
START_TIMEOUT = "x-fal-request-timeout"
LIFECYCLE = "x-fal-object-lifecycle-preference"
UPLOAD_LIFECYCLE = "x-fal-object-lifecycle"
STORE_IO = "x-fal-store-io"
NO_RETRY = "x-fal-no-retry"
IDEMPOTENCY_KEY = "idempotency-key"

MIN_START_TIMEOUT_S = 0.1
"""fal's floor."""
UNSTORED_TTL_S = 600.0
"""How long an answer that is not to be stored can still be fetched."""
MAX_LIFETIME_S = 100 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Options:
    """The part of `gateway.jobs.model.NewJob` that comes from headers and query."""

    webhook: str | None = None
    low_priority: bool = False
    start_within_s: float | None = None
    max_ahead: int | None = None
    max_attempts: int | None = None
    file_ttl_s: float | None = None
    result_ttl_s: float | None = None
    idempotency_key: str | None = None

    @classmethod
    def read(cls, headers: Mapping[str, str], query: Mapping[str, str]) -> Options:
        """Headers by lower-case name. Hints, tags and what else fal's own fleet needs have no meaning here.

        Raises BadRequest naming the header or parameter that cannot be read.
        """
        return cls(
            webhook=query.get(WEBHOOK) or None,
            low_priority=headers.get(PRIORITY, "").lower() == "low",
            start_within_s=_start_timeout(headers.get(START_TIMEOUT)),
            max_ahead=_whole(MAX_QUEUE_LENGTH, query.get(MAX_QUEUE_LENGTH)),
            max_attempts=1 if _true(headers.get(NO_RETRY)) else None,
            file_ttl_s=lifetime(LIFECYCLE, headers.get(LIFECYCLE)),
            result_ttl_s=UNSTORED_TTL_S if headers.get(STORE_IO) == "0" else None,
            idempotency_key=headers.get(IDEMPOTENCY_KEY) or None,
        )


def lifetime(name: str, text: str | None) -> float | None:
    """Seconds a file is to be kept, from the JSON `{"expiration_duration_seconds": N}`; None when it does not say.

    Raises BadRequest naming the header `name`.
    """
    if not text:
        return None
    seconds = _object(name, text).get("expiration_duration_seconds")
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_LIFETIME_S:
        raise BadRequest(f"{name}: expiration_duration_seconds should be a number of seconds greater than 0")
    return float(seconds)


def wants_logs(query: Mapping[str, str]) -> bool:
    """Whether a status should hold the log: `1` of JavaScript, `true` of Python."""
    return _true(query.get("logs"))


def _true(text: str | None) -> bool:
    return (text or "").lower() in ("1", "true", "yes")


def _object(name: str, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise BadRequest(f"{name} should be a JSON object")
    return value


def _start_timeout(text: str | None) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= MIN_START_TIMEOUT_S):
        raise BadRequest(f"{START_TIMEOUT} should be a number of seconds, at least {MIN_START_TIMEOUT_S}")
    return seconds


def _whole(name: str, text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise BadRequest(f"{name} should be a whole number")
    return int(text)
