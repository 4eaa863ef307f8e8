"""A job in the words of RunPod's client API."""

from __future__ import annotations

import re
from typing import Any

from gateway.jobs.model import Failure, Job, Progress, State
from schemas.runpod import RunRecord, RunStatus

_STATUS = {
    State.QUEUED: RunStatus.IN_QUEUE,
    State.RUNNING: RunStatus.IN_PROGRESS,
    State.COMPLETED: RunStatus.COMPLETED,
    State.FAILED: RunStatus.FAILED,
    State.CANCELLED: RunStatus.CANCELLED,
}
_TIMEOUTS = frozenset({"startup_timeout", "generation_timeout"})
_ID = re.compile(r"(?:sync-)?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})-[ue]\d+")


def external_id(job: Job) -> str:
    """The id clients see; as on the platform it says which call made the job."""
    return f"{'sync-' if job.extra.get('sync') else ''}{job.id}-u1"


def internal_id(text: str) -> str:
    """The job id in a client's id; the text itself if it has another form, which no job has."""
    match = _ID.fullmatch(text)
    return match[1] if match else text


def record(job: Job, progress: Progress | None = None) -> dict[str, Any]:
    """The status record; what is not known yet has no key."""
    shown = RunRecord(
        id=external_id(job),
        status=status(job),
        delayTime=_ms(job.created_at, job.started_at),
        executionTime=_ms(job.started_at, job.ended_at),
        workerId=job.worker,
        output=_output(job, progress),
        error=None if job.failure is None else f"{job.failure.code.upper()}: {job.failure.message}",
    )
    return shown.model_dump(mode="json", exclude_none=True)


def webhook_body(job: Job) -> dict[str, Any]:
    """What the platform posts when a job has ended: the record with what was asked."""
    return {**record(job), "input": job.input, "webhook": job.webhooks[0].url}


def status(job: Job) -> RunStatus:
    """The status, in which a timeout is a state of its own."""
    timed_out = job.failure is not None and job.failure.code in _TIMEOUTS
    return RunStatus.TIMED_OUT if timed_out else _STATUS[job.state]


def _output(job: Job, progress: Progress | None) -> Any:
    if job.state is State.RUNNING and progress is not None:
        return progress_output(progress)
    if job.failure is not None:
        return failure_output(job.failure)
    return job.output


def progress_output(progress: Progress) -> dict[str, Any]:
    """The worker's own progress payload."""
    body: dict[str, Any] = {
        "image": progress.image,
        "images": progress.images,
        "step": progress.step,
        "steps": progress.steps,
        "progress": progress.share,
    }
    return body | ({"preview": progress.preview} if progress.preview else {})


def failure_output(failure: Failure) -> dict[str, Any]:
    """What the worker says beside `error`."""
    return {
        "error_type": failure.code,
        "status": failure.status,
        "retryable": failure.retryable,
        "detail": failure.detail,
    }


def _ms(start: float | None, end: float | None) -> int | None:
    return None if start is None or end is None else max(0, round((end - start) * 1000))
