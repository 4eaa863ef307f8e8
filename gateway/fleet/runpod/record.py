"""What `/status` says of a job, and what it means for the queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.fleet import answers
from gateway.jobs.model import Failure
from schemas.errors import DeviceLost, ExecutionTimeout, JobCancelled, StartTimeout
from schemas.runpod import RunStatus

LOST = Failure.of(DeviceLost("The endpoint lost the job"))
"""An attempt that led to nothing, through no fault of the job: the queue tries again, within its limit."""

_NAMES = {status.value: status for status in RunStatus} | {"RUNNING": RunStatus.IN_PROGRESS}


@dataclass(frozen=True, slots=True)
class Record:
    """A job as the endpoint has it. output: its progress while it runs. began: whether a worker ever had it."""

    status: RunStatus
    output: Any
    error: Any
    worker: str
    began: bool

    @property
    def final(self) -> bool:
        return self.status not in (RunStatus.IN_QUEUE, RunStatus.IN_PROGRESS)


def read_record(body: Mapping[str, Any]) -> Record | None:
    """The record in an answer; None when it has no status that is known."""
    name, worker = body.get("status"), body.get("workerId")
    status = _NAMES.get(name) if isinstance(name, str) else None
    if status is None:
        return None
    told = worker[:128] if isinstance(worker, str) else ""
    return Record(status, body.get("output"), body.get("error"), told, bool(body.get("executionTime")))


def outcome(record: Record, *, began: bool) -> Mapping[str, Any] | Failure:
    """How the job of a final record ended. began: whether it was ever seen running.

    A result that got lost on the platform's side is LOST: no output, or a late progress post in its place.
    """
    if record.status is RunStatus.TIMED_OUT:
        return Failure.of(ExecutionTimeout() if began or record.began else StartTimeout())
    if record.status is RunStatus.CANCELLED:
        return Failure.of(JobCancelled("The request was cancelled at the RunPod endpoint"))
    if record.status is RunStatus.FAILED:
        return answers.result({"error": record.error or "no reason given", "output": record.output})
    return _completed(record)


def _completed(record: Record) -> Mapping[str, Any] | Failure:
    output = record.output
    if isinstance(output, Mapping) and output.get("error"):
        return answers.result({"error": output["error"], "output": output})
    if not output or answers.progress(output) is not None:
        return LOST
    return answers.result({"output": output})
