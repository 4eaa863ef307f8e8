"""The endpoint as one worker of the queue that has room for many jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator

from prometheus_client.metrics_core import Metric

from gateway.files.files import Files
from gateway.fleet.runpod.choose import choose_way
from gateway.fleet.runpod.client import Client
from gateway.fleet.runpod.download import Downloads
from gateway.fleet.runpod.errors import EndpointError
from gateway.fleet.runpod.health import Health
from gateway.fleet.runpod.notes import Note, Notes
from gateway.fleet.runpod.run import Desk, Run
from gateway.fleet.runpod.transport import Transport
from gateway.fleet.runpod.waiting import unless
from gateway.fleet.workers import Worker, Workers
from gateway.jobs.jobs import Jobs
from gateway.jobs.leases import parse
from gateway.jobs.model import Job, Lease, State
from gateway.settings import Settings
from schemas.errors import FooocusError

log = logging.getLogger(__name__)

HOLD_S = 20.0
MAX_BATCH = 16
LEAVE_S = 8.0
"""What is being said to the endpoint at the end has so long to be finished: an id that is not heard is lost."""


class Endpoint:
    """Takes jobs as the worker `runpod:<endpoint>`, at most `settings.runpod_jobs` at a time, and sees each of them
    through. They outlive this process: the next one goes on asking for them."""

    def __init__(self, settings: Settings, jobs: Jobs, files: Files, workers: Workers) -> None:
        self.worker: Worker = workers.get(f"runpod:{settings.runpod_endpoint}")
        self._settings = settings
        self._jobs = jobs
        self._workers = workers
        assert settings.runpod_api_key is not None, "The settings require it."
        key = settings.runpod_api_key.get_secret_value()
        self._client = Client(settings.runpod_base_url, settings.runpod_endpoint, key)
        self._downloads = Downloads(settings.runpod_base_url)
        self._notes = Notes(files.store, settings.runpod_endpoint)
        self._way = choose_way(settings, files)
        self.health = Health(self._client, self.worker, self._way.ready)
        transport = Transport(settings, files, self._downloads, self._way)
        self._desk = Desk(self.worker.name, jobs, self._client, self._notes, transport, self.health.trouble)
        self._runs: dict[str, asyncio.Task[None]] = {}
        self._live: dict[str, Run] = {}
        self._freed = asyncio.Event()
        self._presence = contextlib.ExitStack()
        self._taking: asyncio.Task[None] | None = None
        self._minding: list[asyncio.Task[None]] = []
        jobs.outlives(self.worker.name)

    async def start(self) -> None:
        """Go on with what an earlier process sent there, then take more."""
        self._presence.enter_context(self._workers.polling(self.worker))
        for note in await self._notes.every():
            await self._resume(note)
        await self._way.start(self._live.keys())
        log.info("Jobs go to the RunPod endpoint %s", self._settings.runpod_endpoint)
        self._taking = asyncio.create_task(_forever(self._take))
        for work in (self.health.run(), _forever(self._heed_stops), _forever(self._renew)):
            self._minding.append(asyncio.create_task(work))

    def ask_to_end(self) -> None:
        """Take nothing more; what is there goes on there."""
        if self._taking is not None:
            self._taking.cancel()
        for run in self._live.values():
            run.leave()

    async def stop(self) -> None:
        """End all that goes on here."""
        self.ask_to_end()
        if self._runs:
            await asyncio.wait(self._runs.values(), timeout=LEAVE_S)
        tasks = [*self._minding, *self._runs.values(), *([self._taking] if self._taking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._presence.close()
        await self._client.close()
        await self._downloads.close()
        await self._way.close()

    def metrics(self) -> Iterator[Metric]:
        return self.health.metrics()

    async def _resume(self, note: Note) -> None:
        """Take up a job that is still its lease's; give back one that was not sent; cancel one nobody waits for."""
        if note.endpoint != self._settings.runpod_endpoint:
            log.warning("A job sent to endpoint %s is left to itself", note.endpoint, extra={"job": note.lease})
            await self._notes.forget(note.lease)
            return
        job = await self._jobs.get(parse(note.lease)[0])
        is_ours = job is not None and _holds(job, note.lease, self.worker.name)
        if note.remote is None:
            await self._notes.forget(note.lease)
            if is_ours:
                await self._jobs.give_back(note.lease)
        elif job is None:
            self._cancel_unknown(note.remote)
            await self._notes.forget(note.lease)
        else:
            run = self._begin(Lease(note.lease, job), note.remote)
            if not is_ours:
                run.stop()

    def _cancel_unknown(self, remote: str) -> None:
        async def cancel() -> None:
            with contextlib.suppress(EndpointError):
                await self._client.cancel(remote)

        self._minding.append(asyncio.create_task(cancel()))

    def _begin(self, lease: Lease, remote: str | None = None) -> Run:
        run = Run(self._desk, lease, remote)
        self._live[lease.id] = run
        self.worker.leases.add(lease.id)
        self._runs[lease.id] = task = asyncio.create_task(run.go())
        task.add_done_callback(lambda done: self._ended(lease.id, done))
        return run

    def _ended(self, lease: str, done: asyncio.Task[None]) -> None:
        del self._runs[lease], self._live[lease]
        self.worker.leases.discard(lease)
        self._freed.set()
        if not done.cancelled() and done.exception() is not None:
            log.error("Looking after a job failed", exc_info=done.exception(), extra={"job": lease})

    async def _take(self) -> None:
        await self.health.ready.wait()
        room = self._settings.runpod_jobs - len(self._runs)
        if room < 1:
            self._freed.clear()
            await self._freed.wait()
            return
        taken = self._jobs.take(self.worker.name, min(room, MAX_BATCH), HOLD_S)
        for lease in await unless(self.health.troubled, taken) or ():
            self._begin(lease)

    async def _heed_stops(self) -> None:
        for lease in await self._jobs.stops(self.worker.name, HOLD_S):
            if lease in self._live:
                self._live[lease].stop()

    async def _renew(self) -> None:
        """The endpoint answers for its jobs: the leases end when the run does, or its time is over."""
        await self._jobs.renew(self.worker.name, [name for name, run in self._live.items() if run.wanted])
        await asyncio.sleep(self._settings.lease_s / 4)


def _holds(job: Job, lease: str, worker: str) -> bool:
    """Whether the lease is the one this job runs under."""
    return job.state is State.RUNNING and job.worker == worker and job.attempts == parse(lease)[1]


async def _forever(step: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await step()
        except FooocusError as error:
            log.warning("The fleet tries again: %s", error)
            await asyncio.sleep(1)
