"""One job: validated, and run by the runner of its kind."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from handler import log
from handler.plan.combinations import refuse_nonsense
from schemas.errors import DeviceLost, FeatureNotSupported, FieldError, FooocusError, InternalError, ResultTooLarge
from schemas.request import Request, parse_request

Job = dict[str, Any]
Runner = Callable[[Job, Any], Awaitable[dict[str, Any]]]
"""(the job, its validated request) -> the result as plain JSON types. Raises FooocusError."""


@dataclass(frozen=True)
class Worker:
    """What answers jobs.

    runners: what a request of each class is run by. max_result_bytes: the largest result the platform takes.
    """

    runners: Mapping[type[Request], Runner]
    max_result_bytes: int

    async def handle(self, job: Job) -> dict[str, Any]:
        """The RunPod handler: the result as plain JSON types, or `{"error": "CODE: text", …}`. Never raises
        anything but CancelledError."""
        with log.about(job):
            try:
                return await self._run(job)
            except FooocusError as error:
                log.failed(error)
                return failure(error)
            except Exception as error:
                log.crashed(error)
                return failure(InternalError())

    async def _run(self, job: Job) -> dict[str, Any]:
        request = _request(job)
        runner = self.runners.get(type(request))
        if runner is None:
            raise FeatureNotSupported(["body", "endpoint"], input=request.endpoint)
        result = await runner(job, request)
        _check_size(result, self.max_result_bytes)
        return result


def failure(error: FooocusError) -> dict[str, Any]:
    """The handler's answer for a failed job; the SDK sends `error` as text and the rest as output."""
    answer: dict[str, Any] = {
        "error": error.line(),
        "error_type": error.code,
        "status": error.status,
        "retryable": error.retryable,
        "detail": error.detail,
    }
    if isinstance(error, DeviceLost):
        answer["refresh_worker"] = True
    return answer


def _request(job: Mapping[str, Any]) -> Request:
    if job.get("input") is None:
        raise FieldError(["body"], message="Field required")
    request = parse_request(job["input"])
    refuse_nonsense(request)
    return request


def _check_size(result: dict[str, Any], limit: int) -> None:
    """Refuse a result the platform would refuse, before it is posted. Raises ResultTooLarge."""
    if len(json.dumps({"output": result}, ensure_ascii=False).encode()) > limit:
        raise ResultTooLarge
