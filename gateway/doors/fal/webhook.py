"""What a webhook's `payload` is: what a caller who asks for the result is given."""

from __future__ import annotations

from typing import Any

from gateway.doors.fal.errors import failure_body
from gateway.doors.fal.result import fal_output
from gateway.jobs.model import Job


def webhook_payload(job: Job) -> dict[str, Any]:
    """fal's output of a completed job, the error body of any other."""
    return fal_output(job.output or {}) if job.failure is None else failure_body(job.failure)
