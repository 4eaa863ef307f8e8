"""What workers ask and tell, in terms of the queue. `gateway.fleet.protocol` puts it on HTTP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client.metrics_core import Metric

from gateway.files.files import Files
from gateway.fleet import answers
from gateway.fleet.local import LocalWorkers, local_name
from gateway.fleet.tokens import worker_tokens
from gateway.fleet.workers import Worker, Workers
from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Failure, Job, Lease, LogLine
from gateway.settings import MAX_LOCAL, Settings
from schemas.errors import FooocusError, InternalError

log = logging.getLogger(__name__)

MAX_BATCH = 16
"""Most jobs handed over in one answer."""

OWN_BUCKET = "s3Config"
"""In a job's `extra`: the client's bucket, which a worker prefers to the gateway's files."""

_LOOK_S = 1.0


class Fleet:
    """The workers of this gateway: those on this machine, and any that come with a token."""

    def __init__(self, settings: Settings, jobs: Jobs, files: Files) -> None:
        self.tokens = worker_tokens(settings)
        self.workers = Workers()
        self._settings = settings
        self._jobs = jobs
        self._files = files
        self._local = LocalWorkers(settings, self.workers, self.tokens, self.lost)
        self._watch: asyncio.Task[None] | None = None
        jobs.on_end(self._ended)

    async def start(self) -> None:
        """Start the local workers, and looking after all. What local ones of an earlier process had is tried again."""
        await asyncio.gather(*(self._jobs.lose(local_name(number)) for number in range(1, MAX_LOCAL + 1)))
        self._local.start()
        self._watch = asyncio.create_task(self._look_after())

    def ask_to_end(self) -> None:
        """Have local workers end after what they run. The queue hands out nothing more by itself by now."""
        self._local.ask_to_end()

    def release(self) -> None:
        """End all requests that are held open."""
        for worker in self.workers:
            worker.leaving.set()

    async def stop(self) -> None:
        """End the local workers with all their processes; what they had returns to the queue."""
        if self._watch is not None:
            self._watch.cancel()
        await self._local.kill()

    def metrics(self) -> Iterator[Metric]:
        """What there is to say of the fleet beyond its workers' states."""
        yield from ()

    async def take(self, worker: Worker, count: int, base_url: str) -> list[dict[str, Any]]:
        """Jobs for a worker, as it reads them; held until there is one or the hold is over.

        base_url: where it reaches us, for its uploads.
        """
        leases = await self._jobs.take(worker.name, min(count, MAX_BATCH), self._settings.worker_hold_s)
        worker.leases |= {lease.id for lease in leases}
        try:
            filled = [await self._filled(worker, lease, base_url) for lease in leases]
        except BaseException:
            worker.leases -= {lease.id for lease in leases}
            await asyncio.shield(self._return(lease.id for lease in leases))
            raise
        return [job for job in filled if job is not None]

    async def untake(self, jobs: Iterable[Mapping[str, Any]]) -> None:
        """Return jobs that `take` gave and nobody received."""
        await self._return([job["id"] for job in jobs])

    async def stops(self, worker: Worker) -> list[str]:
        """The jobs a worker is to stop; held likewise."""
        leases = await self._jobs.stops(worker.name, self._settings.worker_hold_s)
        worker.leases -= set(leases)
        return leases

    async def untold(self, leases: Iterable[str]) -> None:
        """Nothing to do for stops nobody received: a worker that pings with such a job is told again."""

    async def report(self, worker: Worker, lease: str, output: Any) -> None:
        """Progress of a job, for those who watch it; a sign of life in any case."""
        self.workers.saw(worker)
        progress = answers.progress(output)
        if progress is None:
            await self._jobs.renew(worker.name, [lease])
        elif await self._jobs.report(lease, worker.name, progress):
            self._log(lease.rpartition("-a")[0], answers.step_line(progress))

    async def finish(self, worker: Worker, lease: str, body: Mapping[str, Any]) -> None:
        """The end of a job. What comes too late, or under another's lease, changes nothing."""
        self.workers.saw(worker)
        outcome = answers.result(body)
        kept = await self._jobs.finish(lease, worker.name, outcome)
        worker.leases.discard(lease)
        if not kept:
            log.info("A result came too late and was dropped", extra={"job": lease, "worker": worker.name})
        if body.get("stopPod"):
            self._replace(worker)

    async def ping(self, worker: Worker, leases: list[str]) -> None:
        """A heartbeat renews what the worker still works on, as long as its main process lives."""
        if self.workers.is_here(worker):
            await self._jobs.renew(worker.name, leases)

    def unhealthy(self, worker: Worker, reason: str) -> None:
        """The worker's own checks failed; it is about to exit."""
        worker.trouble = reason
        log.error("A worker is not fit: %s", reason, extra={"worker": worker.name})

    async def lost(self, worker: Worker) -> None:
        """A worker is dead: what it had is tried again."""
        worker.leases.clear()
        try:
            await self._jobs.lose(worker.name)
        except FooocusError as error:
            log.error("Jobs of a dead worker wait for their leases to end: %s", error, extra={"worker": worker.name})

    async def _filled(self, worker: Worker, lease: Lease, base_url: str) -> dict[str, Any] | None:
        """The job with its pictures, and the address for the new ones; None when its pictures cannot be had."""
        job = lease.job
        grant = self._files.grant(lease.id, base_url)
        try:
            input = await self._files.fill(job.input, job.owner)
        except (FooocusError, OSError) as error:
            failed = error if isinstance(error, FooocusError) else _unread(job, error)
            await self._jobs.finish(lease.id, worker.name, Failure.of(failed))
            worker.leases.discard(lease.id)
            return None
        self._log(job.id, f"Started on worker {worker.name}" + (f", try {job.attempts}" if job.attempts > 1 else ""))
        own = {OWN_BUCKET: job.extra[OWN_BUCKET]} if OWN_BUCKET in job.extra else {}
        return {"id": lease.id, "input": input, "uploadUrl": grant.url, "uploadToken": grant.token, **own}

    async def _return(self, leases: Iterable[str]) -> None:
        for lease in leases:
            await self._jobs.give_back(lease)

    def _replace(self, worker: Worker) -> None:
        """A worker that says it is broken gets no more jobs under its name; a local one is started anew."""
        log.warning("A worker asks to be replaced", extra={"worker": worker.name})
        worker.trouble = "it asked to be replaced"
        worker.leaving.set()
        self._local.replace(worker)

    def _ended(self, job: Job) -> None:
        why = f": {job.failure.code}" if job.failure is not None else ""
        log.info("A job is %s%s", job.state, why, extra={"job": job.id, "worker": job.worker})
        for worker in self.workers:
            worker.leases.discard(f"{job.id}-a{job.attempts}")

    def _log(self, job_id: str, message: str) -> None:
        self._jobs.log(job_id, LogLine(time.time(), "INFO", message))

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            for worker in self.workers:
                if worker.leases and not self.workers.is_here(worker):
                    log.warning("A worker has gone silent", extra={"worker": worker.name})
                    await self.lost(worker)


def _unread(job: Job, error: OSError) -> FooocusError:
    """What a client learns of a file that is there no more, or on a bad sector."""
    log.error("A file of a request cannot be read: %s", error.strerror, extra={"job": job.id})
    return InternalError("A file of the request cannot be read")
