"""The status of a request, as both clients read it: key for key, three words only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway.doors.fal.apps import app_of
from gateway.jobs.model import Job, LogLine, State

IN_QUEUE = "IN_QUEUE"
IN_PROGRESS = "IN_PROGRESS"
COMPLETED = "COMPLETED"
"""Also of failed and cancelled requests: any other word stops Python's client and makes JavaScript's poll forever."""

_WORDS = {State.QUEUED: IN_QUEUE, State.RUNNING: IN_PROGRESS}


@dataclass(frozen=True, slots=True)
class Queue:
    """Where the queue's routes are, as the caller reaches them: `root` without a slash at the end."""

    root: str

    def links(self, job: Job) -> dict[str, str]:
        """The URLs of a request. They name the app only, not the endpoint below it, as both clients build them."""
        url = f"{self.root}/{app_of(job.app)}/requests/{job.id}"
        return {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


def status_body(job: Job, queue: Queue, *, position: int = 0, logs: Sequence[LogLine] | None = None) -> dict[str, Any]:
    """What status calls and status events hold. position: jobs ahead. logs: None when they were not asked for."""
    body: dict[str, Any] = {
        "status": _WORDS.get(job.state, COMPLETED),
        "request_id": job.id,
        **queue.links(job),
        "logs": None if logs is None else [log_entry(line) for line in logs],
    }
    if job.state is State.QUEUED:
        body["queue_position"] = position
    if job.state.final:
        body["metrics"] = {"inference_time": inference_time(job)}
    if job.failure is not None:
        body |= {"error": job.failure.message, "error_type": job.failure.code}
    return body


def submitted_body(job: Job, queue: Queue, position: int) -> dict[str, Any]:
    """The answer to a submit. It says `IN_QUEUE` of a request that has failed at once, too."""
    return {
        "status": IN_QUEUE,
        "request_id": job.id,
        "gateway_request_id": job.id,
        "queue_position": position,
        "logs": None,
        "metrics": {},
        **queue.links(job),
    }


def log_entry(line: LogLine) -> dict[str, str]:
    timestamp = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="microseconds")
    return {"message": line.message, "level": line.level, "source": "USER", "timestamp": timestamp}


def inference_time(job: Job) -> float | None:
    """Seconds the worker spent on the pictures; without its own figure, the time since the job was started."""
    timings: Mapping[str, float] = (job.output or {}).get("timings", {})
    if "inference" in timings:
        return timings["inference"]
    if job.started_at is None or job.ended_at is None:
        return None
    return round(job.ended_at - job.started_at, 4)
