"""When a webhook is tried again: at least fal's patience, growing waits, the receiver's own wish within bounds."""

from __future__ import annotations

import random
from email.utils import formatdate

import pytest

from gateway.webhooks.egress import Answer
from gateway.webhooks.policy import Policy, asked_wait
from gateway.webhooks.verdict import judge

USUAL = Policy()


class Middle(random.Random):
    """Draws the middle of every range."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def test_the_usual_patience_is_fals_or_more() -> None:
    waits = [USUAL.delay(attempts, None, Middle()) for attempts in range(1, USUAL.max_attempts)]
    assert USUAL.timeout(0) == 15
    assert {USUAL.timeout(attempts) for attempts in range(1, USUAL.max_attempts)} == {120}
    assert len(waits) >= 31
    assert waits == sorted(waits)
    assert 2 * 3600 <= sum(waits) <= 24 * 3600
    assert sum(waits[:10]) >= 3600


def test_after_the_last_attempt_there_is_none() -> None:
    assert USUAL.delay(USUAL.max_attempts - 1, None, Middle()) is not None
    assert USUAL.delay(USUAL.max_attempts, None, Middle()) is None
    assert Policy(max_attempts=10**9).delay(10**6, None, Middle()) == USUAL.max_delay_s


def test_waits_vary_by_the_jitter() -> None:
    draw = random.Random(1)
    waits = [USUAL.delay(1, None, draw) for _ in range(1000)]
    assert 4 <= min(waits) < 4.1
    assert 5.9 < max(waits) <= 6


@pytest.mark.parametrize(("asked", "wait"), [(None, 5), (1, 5), (60, 60), (10**9, 3600)])
def test_a_receiver_may_ask_for_more_but_not_for_ever(asked: float | None, wait: float) -> None:
    assert USUAL.delay(1, asked, Middle()) == wait


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("30", 30), (" 7 ", 7), ("0", 0), (formatdate(1_000_060, usegmt=True), 60), (formatdate(999_000), 0),
        (None, None), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("٣", None), ("9" * 400, 999_999_999),
    ],
)  # fmt: skip
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    assert asked_wait(header, 1_000_000) == seconds


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(status: int) -> None:
    assert judge(Answer(status, None), 0).error is None


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308, 399, 410])
def test_redirects_and_gone_end_it(status: int) -> None:
    verdict = judge(Answer(status, None), 0)
    assert verdict.final
    assert verdict.error


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504, 599])
def test_everything_else_may_pass(status: int) -> None:
    verdict = judge(Answer(status, "9"), 0)
    assert not verdict.final
    assert verdict.error == f"The receiver answered HTTP {status}"
    assert verdict.wait_s == (9 if status in (429, 503) else None)
