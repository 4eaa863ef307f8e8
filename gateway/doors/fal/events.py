"""What the queue's status stream and a streamed run send while a job goes on."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from gateway.doors.fal.sse import HEARTBEAT_S, KEEP_ALIVE, event, paced
from gateway.doors.fal.status import Queue, status_body
from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Job, Progress

POSITION_S = 1.0
"""How often a waiting job's place is looked up."""


async def status_events(jobs: Jobs, job: Job, queue: Queue, with_logs: bool) -> AsyncGenerator[bytes, None]:
    """An event at each change of state, place or log; each holds only the log's new lines, as JavaScript's client
    puts them one behind the other. The last event is the end."""
    told: Any = None
    lines, sent_at = 0, time.monotonic()
    async for news in paced(jobs.watch(job.id), POSITION_S):
        job = news if isinstance(news, Job) else job
        logs = await jobs.logs(job.id, lines) if with_logs else None
        position = jobs.position(job.id)
        if (job.state, position) != told or logs:
            told = (job.state, position)
            lines += len(logs or ())
            sent_at = time.monotonic()
            yield event(status_body(job, queue, position=position, logs=logs))
        elif time.monotonic() - sent_at >= HEARTBEAT_S:
            sent_at = time.monotonic()
            yield KEEP_ALIVE
        if job.state.final:
            return


def preview_of(progress: Progress) -> dict[str, Any]:
    """A step as an output that is on its way: the same `images`, the newest preview in it, and how far it is."""
    figures = {name: value for name, value in asdict(progress).items() if name != "preview"}
    images = [{"url": progress.preview, "content_type": "image/jpeg"}] if progress.preview else []
    return {"images": images, "progress": figures}
