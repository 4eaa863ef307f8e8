"""Headers and query parameters of a submit, in both clients' spellings."""

from __future__ import annotations

import pytest

from gateway.doors.fal.options import UNSTORED_TTL_S, Options, lifetime, wants_logs
from schemas.errors import BadRequest


def test_nothing_said() -> None:
    assert Options.read({}, {}) == Options()


def test_what_javascript_always_sends_says_nothing() -> None:
    assert Options.read({"x-fal-queue-priority": "normal", "x-fal-runner-hint": "gpu-7"}, {}) == Options()


def test_everything_said() -> None:
    headers = {
        "x-fal-queue-priority": "low",
        "x-fal-request-timeout": "30.0",
        "x-fal-no-retry": "1",
        "x-fal-store-io": "0",
        "x-fal-object-lifecycle-preference": '{"expiration_duration_seconds": 3600, "initial_acl": {}}',
        "idempotency-key": "k1",
    }
    query = {"fal_webhook": "https://example.com/a?b=c", "fal_max_queue_length": "3"}
    assert Options.read(headers, query) == Options(
        webhook="https://example.com/a?b=c", low_priority=True, start_within_s=30.0, max_ahead=3, max_attempts=1,
        file_ttl_s=3600.0, result_ttl_s=UNSTORED_TTL_S, idempotency_key="k1",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["soon", "0.05", "-1", "nan", "inf"])
def test_a_start_timeout_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BadRequest, match="x-fal-request-timeout"):
        Options.read({"x-fal-request-timeout": text}, {})


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "²", "9" * 40])
def test_a_queue_length_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BadRequest, match="fal_max_queue_length"):
        Options.read({}, {"fal_max_queue_length": text})


@pytest.mark.parametrize("text", ["never", "[1]", "[" * 100_000, '{"expiration_duration_seconds": 0}',
                                  '{"expiration_duration_seconds": "1h"}', '{"expiration_duration_seconds": true}',
                                  '{"expiration_duration_seconds": 1e30}'])  # fmt: skip
def test_a_lifetime_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BadRequest, match="x-fal-object-lifecycle"):
        lifetime("x-fal-object-lifecycle", text)


def test_a_lifetime_without_end() -> None:
    assert lifetime("x", '{"initial_acl": {"default": "allow"}}') is None


@pytest.mark.parametrize(("query", "wanted"), [({"logs": "1"}, True), ({"logs": "true"}, True), ({"logs": "0"}, False),
                                               ({"logs": "false"}, False), ({}, False)])  # fmt: skip
def test_both_clients_ways_to_ask_for_logs(query: dict[str, str], wanted: bool) -> None:
    assert wants_logs(query) is wanted
