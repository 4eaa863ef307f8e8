"""Failures in fal's two shapes, with statuses that make its clients retry only where a retry can help.

Invalid input is `{"detail": [{"loc", "msg", "type", "url", …}]}`, everything else `{"detail": text, "error_type"}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from gateway.jobs.model import Failure
from schemas.errors import FooocusError, StartTimeout

REQUEST_ID = "x-fal-request-id"
ERROR_TYPE = "x-fal-error-type"
TIMEOUT_TYPE = "x-fal-request-timeout-type"
EXPOSED = (REQUEST_ID, ERROR_TYPE, TIMEOUT_TYPE, "x-fal-retryable", "x-fal-needs-retry", "x-fal-billable-units")
"""Headers a page in a browser must be able to read."""

ERROR_PAGES = "https://docs.fal.ai/errors#"

_FINAL_STATUS = {408: 500, 409: 400, 429: 500, 502: 500, 503: 500, 504: 500}
"""A failed job stays failed. JavaScript's client repeats 429, 502, 503 and 504, Python's 408, 409 and 429: the call of
a result in vain, a sync run even as a new job."""


def failure_response(failure: Failure, request_id: str) -> JSONResponse:
    """What the failed job answers, now and at every later call."""
    headers = {
        REQUEST_ID: request_id,
        "x-fal-retryable": str(failure.retryable).lower(),
        "x-fal-needs-retry": str(failure.retryable).lower(),
        "x-fal-billable-units": "0",
    }
    if failure.code == StartTimeout.code:
        # The caller's own limit, in the one form of a 504 that clients who can set it do not repeat.
        headers[TIMEOUT_TYPE] = "user"
    return _response(failure, final_status(failure), headers)


def final_status(failure: Failure) -> int:
    """The status a failed job answers with."""
    if failure.code == StartTimeout.code:
        return failure.status
    return _FINAL_STATUS.get(failure.status, failure.status)


def failure_body(failure: Failure) -> dict[str, Any]:
    """The JSON of a failure: a list of details as it is, with the page of each code; a text with its code."""
    if isinstance(failure.detail, list):
        return {"detail": [_with_page(item) for item in failure.detail]}
    return {"detail": failure.detail, "error_type": failure.code}


def _with_page(item: Any) -> Any:
    return {**item, "url": f"{ERROR_PAGES}{item['type']}"} if isinstance(item, dict) and "type" in item else item


def refusal(error: FooocusError) -> JSONResponse:
    """The answer to a request that was not accepted, which may well be repeated later: 429 and 503 stay."""
    retry_after_s = getattr(error, "retry_after_s", None)
    headers = {} if retry_after_s is None else {"retry-after": str(retry_after_s)}
    status = {408: 400, 409: 400}.get(error.status, error.status)
    return _response(Failure.of(error), status, headers)


def not_found(what: str) -> JSONResponse:
    """404 as fal's apps give it."""
    return JSONResponse({"detail": what}, 404)


def _response(failure: Failure, status: int, headers: Mapping[str, str]) -> JSONResponse:
    body = failure_body(failure)
    extra = {ERROR_TYPE: failure.code} if "error_type" in body else {}
    return JSONResponse(body, status, {**headers, **extra})
