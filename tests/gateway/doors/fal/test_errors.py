"""Failures in fal's two shapes, and statuses that no client repeats a hopeless call for."""

from __future__ import annotations

import inspect
import json

import pytest

from gateway.doors.fal.errors import failure_response, refusal
from gateway.jobs.model import Failure
from schemas import errors
from schemas.errors import FieldError, FooocusError, JobCancelled, OutOfMemory, StartTimeout

JAVASCRIPT_REPEATS = {429, 502, 503, 504}
PYTHON_REPEATS = {408, 409, 429}
"""And 504 unless the reply says whose timeout it was."""


def every_error() -> list[type[FooocusError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, FooocusError)]


@pytest.mark.parametrize("kind", every_error())
def test_a_failed_job_is_not_asked_for_again_by_mistake(kind: type[FooocusError]) -> None:
    reply = failure_response(Failure(kind.code, kind.status, kind.retryable, "text", "text"), "j1")
    if kind is StartTimeout:
        assert (reply.status_code, reply.headers["x-fal-request-timeout-type"]) == (504, "user")
    else:
        assert reply.status_code not in JAVASCRIPT_REPEATS | PYTHON_REPEATS
    assert reply.headers["x-fal-request-id"] == "j1"
    assert reply.headers["x-fal-retryable"] == reply.headers["x-fal-needs-retry"] == str(kind.retryable).lower()


def test_invalid_input_is_a_list_with_the_page_of_each_code() -> None:
    error = FieldError(["body", "num_images"], input=9, message="At most 4")
    reply = failure_response(Failure.of(error), "j1")
    assert reply.status_code == 422
    assert json.loads(reply.body) == {
        "detail": [
            {
                "loc": ["body", "num_images"],
                "msg": "At most 4",
                "type": "value_error",
                "input": 9,
                "url": "https://docs.fal.ai/errors#value_error",
            }
        ]
    }
    assert "x-fal-error-type" not in reply.headers


def test_other_failures_are_flat() -> None:
    reply = failure_response(Failure.of(OutOfMemory()), "j1")
    assert reply.status_code == 500
    assert json.loads(reply.body) == {"detail": str(OutOfMemory()), "error_type": "out_of_memory"}
    assert reply.headers["x-fal-error-type"] == "out_of_memory"


def test_a_cancelled_request() -> None:
    reply = failure_response(Failure.of(JobCancelled()), "j1")
    assert (reply.status_code, reply.headers["x-fal-error-type"]) == (499, "client_cancelled")


@pytest.mark.parametrize("kind", every_error())
def test_a_refused_request_is_repeated_only_when_it_may_be_accepted_later(kind: type[FooocusError]) -> None:
    error = FooocusError("text")
    error.__class__ = type("Refused", (FooocusError,), {"code": kind.code, "status": kind.status})
    reply = refusal(error)
    assert reply.status_code not in {408, 409}
    assert (reply.status_code in {429, 503}) == (kind.status in {429, 503})
