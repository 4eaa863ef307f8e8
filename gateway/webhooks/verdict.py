"""What an answer to a webhook means."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.webhooks.egress import Answer
from gateway.webhooks.policy import asked_wait

_GONE = 410
_ASKS_TO_WAIT = (429, 503)


@dataclass(frozen=True, slots=True)
class Verdict:
    """status: of the answer, if there was one. error: why it does not count as delivered; None if it does. final: no
    further attempt helps. wait_s: what the receiver asked for."""

    status: int | None = None
    error: str | None = None
    final: bool = True
    wait_s: float | None = None


def judge(answer: Answer, now: float) -> Verdict:
    """2xx is delivered; a redirect or 410 Gone ends it, as fal and Standard Webhooks say; everything else may pass."""
    status = answer.status
    if 200 <= status < 300:
        return Verdict(status)
    if 300 <= status < 400:
        return Verdict(status, "The receiver redirects, and redirects are not followed")
    if status == _GONE:
        return Verdict(status, "The receiver is gone (HTTP 410)")
    wait_s = asked_wait(answer.retry_after, now) if status in _ASKS_TO_WAIT else None
    return Verdict(status, f"The receiver answered HTTP {status}", final=False, wait_s=wait_s)
