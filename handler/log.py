"""Log lines under the SDK's logger: one per event, with the job's id, without prompts, URLs or pictures."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from schemas.errors import FooocusError


def info(message: str, job_id: str | None = None) -> None:
    """An event worth a line."""
    _logger().info(message, job_id)


def warn(message: str, job_id: str | None = None) -> None:
    """Something an operator should know."""
    _logger().warn(message, job_id)


def failed(job: Mapping[str, Any], error: FooocusError) -> None:
    """A job that ended in a known error. Invalid input may hold private text: only its code is logged."""
    text = error.code if error.status == 422 else error.line()
    _logger().warn(f"Failed: {text}", job.get("id"))


def crashed(job: Mapping[str, Any], error: BaseException) -> None:
    """A job that ended in an error nobody foresaw: the operator gets the traceback, the client does not."""
    _logger().error("".join(traceback.format_exception(error)), job.get("id"))


def _logger() -> Any:
    from runpod.serverless.modules.rp_logger import RunPodLogger

    return RunPodLogger()
