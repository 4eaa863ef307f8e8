"""Jobs of one endpoint as the platform keeps them: queue, states, and what workers are told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"})


@dataclass
class Job:
    """One job and what workers said about it. `late` holds the bodies that came after its end."""

    id: str
    input: Any
    extras: dict[str, Any]
    created: float
    status: str = "IN_QUEUE"
    worker: str | None = None
    started: float | None = None
    ended: float | None = None
    output: Any = None
    error: Any = None
    stop_pod: bool = False
    progress: list[Any] = field(default_factory=list)
    chunks: list[Any] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)

    def for_worker(self) -> dict[str, Any]:
        return {"id": self.id, "input": self.input, **self.extras}

    def record(self) -> dict[str, Any]:
        """The status record of the client API; times in milliseconds."""
        shown: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.started is not None:
            shown |= {"delayTime": _ms(self.created, self.started), "workerId": self.worker}
        if self.started is not None and self.ended is not None:
            shown["executionTime"] = _ms(self.started, self.ended)
        known = {"output": self.output, "error": self.error}
        return shown | {name: value for name, value in known.items() if value is not None}


@dataclass
class Jobs:
    """All jobs of an endpoint: a queue, and per worker the jobs it should stop."""

    by_id: dict[str, Job] = field(default_factory=dict)
    queue: deque[Job] = field(default_factory=deque)
    stops: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    retried: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def changed(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def until(self, ready: Callable[[], Any], timeout_s: float) -> None:
        """Return when `ready()` is true or the time is over."""
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait_for(ready)

    async def submit(self, prefix: str, input: Any, extras: dict[str, Any]) -> Job:
        job = Job(f"{prefix}{uuid.uuid4()}-u1", input, extras, time.monotonic())
        self.by_id[job.id] = job
        self.queue.append(job)
        await self.changed()
        return job

    async def take(self, worker: str, count: int, hold_s: float) -> list[Job]:
        await self.until(lambda: self.queue, hold_s)
        jobs = [self.queue.popleft() for _ in range(min(count, len(self.queue)))]
        for job in jobs:
            job.status, job.worker, job.started = "IN_PROGRESS", worker, time.monotonic()
        return jobs

    async def take_stops(self, worker: str, hold_s: float) -> list[str]:
        await self.until(lambda: self.stops[worker], hold_s)
        return self.stops.pop(worker, [])

    async def finish(self, job: Job, body: dict[str, Any]) -> None:
        job.output, job.error = body.get("output"), body.get("error")
        job.stop_pod = bool(body.get("stopPod"))
        await self._end(job, "FAILED" if "error" in body else "COMPLETED")

    async def cancel(self, job: Job) -> None:
        if job.status == "IN_QUEUE":
            self.queue.remove(job)
        elif job.status == "IN_PROGRESS" and job.worker is not None:
            self.stops[job.worker].append(job.id)
        if job.status not in FINAL:
            await self._end(job, "CANCELLED")

    async def retry(self, job: Job) -> None:
        job.status, job.worker, job.started, job.ended = "IN_QUEUE", None, None, None
        job.output, job.error = None, None
        self.retried += 1
        self.queue.append(job)
        await self.changed()

    async def purge(self) -> int:
        queued = list(self.queue)
        for job in queued:
            await self.cancel(job)
        return len(queued)

    async def _end(self, job: Job, status: str) -> None:
        job.status, job.ended = status, time.monotonic()
        await self.changed()


def _ms(start: float, end: float) -> int:
    return round((end - start) * 1000)
