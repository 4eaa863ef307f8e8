"""One job at the endpoint: sent, looked after, and its end brought home."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.fleet import answers
from gateway.fleet.runpod.client import Client
from gateway.fleet.runpod.errors import EndpointError, Gone, Refused, Unavailable
from gateway.fleet.runpod.notes import Notes
from gateway.fleet.runpod.pace import Backoff
from gateway.fleet.runpod.record import LOST, Record, outcome
from gateway.fleet.runpod.transport import Transport
from gateway.fleet.runpod.waiting import WAIT_S, unless, waited
from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Failure, Lease, LogLine, Progress
from schemas.errors import FooocusError, InternalError, PayloadTooLarge, StoreUnavailable
from schemas.runpod import RunStatus

log = logging.getLogger(__name__)

SENDS = 3
"""Tries to send a job before it returns to the queue."""

CANCELS = 6
"""Tries to cancel one."""

UNKNOWN = 3
"""Times in a row the endpoint may not know a job before it counts as lost."""

LONGEST_WAIT_S = 10.0
"""A job for which the endpoint asks for more patience than this returns to the queue meanwhile."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What all runs share. worker: the name they take jobs with. trouble: told why the endpoint takes no jobs, None
    when it has just taken one."""

    worker: str
    jobs: Jobs
    client: Client
    notes: Notes
    transport: Transport
    trouble: Callable[[EndpointError | None], None]


class Run:
    """A lease from its taking to its end. remote: the job's id at the endpoint, when an earlier process sent it.

    `go` ends when the job has, or when there is nothing more to do: `stop` makes it cancel the job at the endpoint,
    `leave` leaves that there for the next process. What is known to be over there leaves no strays: of what was sent
    more than once, cancelled, or given up, something may still run; of what an earlier process sent, nobody knows.
    """

    def __init__(self, desk: Desk, lease: Lease, remote: str | None = None) -> None:
        self._desk = desk
        self._remote = remote
        self._halt = asyncio.Event()
        self._cancelling = False
        self._waiting = True
        self._began = False
        self._strays = remote is not None
        self._seen: Progress | None = None
        self.lease = lease

    def stop(self) -> None:
        self._cancelling = True
        self._halt.set()

    def leave(self) -> None:
        self._halt.set()

    @property
    def wanted(self) -> bool:
        """Whether the queue still waits for this lease."""
        return not self._cancelling

    async def go(self) -> None:
        try:
            remote = self._remote or await self._send()
            if remote is None or await self._see_through(remote):
                await self._desk.notes.forget(self.lease.id)
                await self._desk.transport.way.settle(self.lease, strays=self._strays)
        except FooocusError as error:
            log.error("A job at the endpoint is left to itself: %s", error, extra={"job": self.lease.id})

    async def _see_through(self, remote: str) -> bool:
        """Whether the job is done with there."""
        ended = await unless(self._halt, self._follow(remote))
        return ended is not None or (self._cancelling and await self._cancel(remote))

    # Sending

    async def _send(self) -> str | None:
        """The job's id at the endpoint; None when it is not there, and failed or returned to the queue instead."""
        self._wait()
        try:
            body = await unless(self._halt, self._desk.transport.pack(self.lease))
        except EndpointError as error:
            await self._unsent(error)
            return None
        except (FooocusError, OSError) as error:
            failed = error if isinstance(error, FooocusError) else InternalError("A file of the request cannot be read")
            await self._finish(Failure.of(failed))
            return None
        if body is None:
            await self._desk.jobs.give_back(self.lease.id)
            return None
        await self._desk.notes.put(self.lease.id)
        try:
            remote = await self._sent(body)
        except EndpointError as error:
            await self._unsent(error)
            return None
        with contextlib.suppress(StoreUnavailable):
            await self._desk.notes.put(self.lease.id, remote)
        self._desk.trouble(None)
        self._log(f"Sent to RunPod endpoint {self._desk.worker.partition(':')[2]} as {remote}")
        return remote

    async def _sent(self, body: bytes) -> str:
        """Submit, some times if need be. An attempt without an answer may have arrived: then the job runs twice there,
        and the first end counts."""
        pause = Backoff(0.5, 4)
        for _ in range(SENDS - 1):
            try:
                return await self._submit(body)
            except Unavailable as error:
                self._strays = True
                wait = max(pause.next(), error.retry_after_s or 0)
                if wait > LONGEST_WAIT_S or await waited(self._halt, wait):
                    raise
        return await self._submit(body)

    async def _submit(self, body: bytes) -> str:
        """An endpoint that takes no other keys than the documented ones gets none."""
        desk = self._desk
        try:
            return await desk.client.run(body)
        except Refused:
            if not desk.transport.way.offers_uploads:
                raise
        desk.transport.way.offers_uploads = False
        try:
            return await desk.client.run(await desk.transport.pack(self.lease))
        except Refused:
            desk.transport.way.offers_uploads = True
            raise

    async def _unsent(self, error: EndpointError) -> None:
        if isinstance(error, Refused):
            log.error("The RunPod endpoint: %s", error, extra={"job": self.lease.id})
            await self._finish(Failure.of(PayloadTooLarge() if error.status == 413 else InternalError()))
        else:
            self._strays |= isinstance(error, Unavailable)
            self._desk.trouble(error)
            await self._desk.jobs.give_back(self.lease.id)

    # Following

    async def _follow(self, remote: str) -> Record | Gone:
        """Ask until the job has ended and its end is recorded; what was said at last."""
        waiting, running, failing = Backoff(0.3, 3), Backoff(0.3, 1.5), Backoff(0.3, 15)
        unknown = 0
        self._wait()
        while True:
            try:
                record = await self._desk.client.status(remote)
            except EndpointError as error:
                if isinstance(error, Gone):
                    unknown += 1
                    if unknown == UNKNOWN:
                        self._strays = True
                        await self._end(LOST)
                        return error
                await asyncio.sleep(max(failing.next(), error.retry_after_s or 0))
                continue
            unknown = 0
            failing.reset()
            if record.final:
                self._strays |= record.status not in (RunStatus.COMPLETED, RunStatus.FAILED)
                await self._end(outcome(record, began=self._began))
                return record
            if await self._note(record):
                running.reset()
            await asyncio.sleep(running.next() if record.status is RunStatus.IN_PROGRESS else waiting.next())

    async def _note(self, record: Record) -> bool:
        """Tell the queue where the job is; whether it got further."""
        if record.status is RunStatus.IN_QUEUE:
            self._wait()
            return False
        if self._waiting:
            self._waiting, self._began = False, True
            self._desk.jobs.begin(self.lease.id, self._desk.worker)
            self._log(f"Started on worker {record.worker}" if record.worker else "Started")
        progress = answers.progress(record.output)
        if progress is None or progress == self._seen:
            return False
        self._seen = progress
        if await self._desk.jobs.report(self.lease.id, self._desk.worker, progress):
            self._log(answers.step_line(progress))
        return True

    def _wait(self) -> None:
        """Its time does not run: it is on its way, in the endpoint's queue, or nothing was heard of it yet."""
        self._waiting = True
        self._desk.jobs.hold_off(self.lease.id, self._desk.worker, WAIT_S)

    async def _end(self, result: Mapping[str, Any] | Failure) -> None:
        if result == LOST:
            self._log("The endpoint lost the job", "WARN")
        if isinstance(result, Failure):
            result = self._desk.transport.way.told(self.lease, result)
        else:
            try:
                result = await self._desk.transport.unpack(self.lease, result)
            except FooocusError as error:
                result = Failure.of(error)
        await self._finish(result)

    async def _finish(self, result: Mapping[str, Any] | Failure) -> None:
        """Record the end, for as long as it takes."""
        pause = Backoff(0.5, 10)
        while True:
            try:
                if not await self._desk.jobs.finish(self.lease.id, self._desk.worker, result):
                    log.info("A result came too late and was dropped", extra={"job": self.lease.id})
                return
            except StoreUnavailable:
                await asyncio.sleep(pause.next())

    async def _cancel(self, remote: str) -> bool:
        """Whether the job is known to be cancelled there."""
        self._strays = True
        pause = Backoff(0.3, 10)
        for _ in range(CANCELS):
            try:
                await self._desk.client.cancel(remote)
                return True
            except Gone:
                return True
            except EndpointError as error:
                log.warning("A job is still to be cancelled: %s", error, extra={"job": self.lease.id})
                await asyncio.sleep(max(pause.next(), error.retry_after_s or 0))
        return False

    def _log(self, message: str, level: str = "INFO") -> None:
        self._desk.jobs.log(self.lease.job.id, LogLine(time.time(), level, message))
