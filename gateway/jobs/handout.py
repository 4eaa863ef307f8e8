"""Jobs to workers: held polls are matched with waiting jobs, and a job is handed out only once that is on the disk."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.jobs import transitions
from gateway.jobs.board import Board
from gateway.jobs.leases import Held, parse
from gateway.jobs.line import Ticket
from gateway.jobs.model import Failure, Job, Lease, LogLine, State
from gateway.jobs.records import dump
from gateway.jobs.states import RUNNING
from gateway.jobs.store import Store
from gateway.jobs.transitions import End, Fence
from schemas.errors import DeviceLost, FooocusError, InternalError

RETRY_S = 1.0
"""Pause after the store refused a hand-out, or none is allowed."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Poll:
    """A worker's held request for up to `count` jobs. claiming: jobs are being written to its name. over: its time is;
    gone: its caller is."""

    worker: str
    count: int
    leases: asyncio.Future[list[Lease]]
    claiming: bool = False
    over: bool = False
    gone: bool = False


class Handout:
    """The workers' side of the queue."""

    def __init__(self, store: Store, board: Board) -> None:
        self._store = store
        self._board = board
        self._polls: deque[Poll] = deque()
        self._stopped = False
        self._pause: asyncio.TimerHandle | None = None
        self.allowed: Callable[[], bool] = lambda: True
        board.on_waiting = self.match

    async def take(self, worker: str, count: int, hold_s: float) -> list[Lease]:
        """Jobs for a worker, waiting up to `hold_s` for the first."""
        poll = Poll(worker, count, asyncio.get_running_loop().create_future())
        self._polls.append(poll)
        self.match()
        try:
            await asyncio.wait({poll.leases}, timeout=hold_s)
            poll.over = True
            if poll.claiming:
                await asyncio.wait({poll.leases})
        except asyncio.CancelledError:
            self._abandon(poll)
            raise
        self._forget(poll)
        return poll.leases.result() if poll.leases.done() else []

    def match(self) -> None:
        """Hand out what can be handed out now."""
        while self._polls and len(self._board.line) and not self._stopped and self._may():
            self._claim(self._polls.popleft())

    def stop(self) -> None:
        """Hand out nothing more; polls stay held until they end by themselves or `release`."""
        self._stopped = True

    def release(self) -> None:
        """End all held polls."""
        for poll in self._polls:
            if not poll.leases.done():
                poll.leases.set_result([])
        self._polls.clear()

    async def finish(self, lease: str, worker: str, result: Mapping[str, Any] | Failure) -> bool:
        """Record the outcome of a lease; False when it is not this worker's any more."""
        held = self._board.leases.get(lease, worker)
        if held is None:
            return False
        if isinstance(result, Failure) and result.code == DeviceLost.code:
            return await self.lose(held) is not None
        how = _outcome(result, list(self._board.events.lines(held.ticket.id)))
        return await self.end(held, how, worker) is not None

    async def end(self, held: Held, how: End, worker: str | None = None) -> Job | None:
        """End a running job, if it still is in this attempt."""
        fence = Fence(held.attempt, worker)
        now = self._board.clock.time()

        def work(connection: sqlite3.Connection) -> sqlite3.Row | None:
            return transitions.end(connection, held.ticket.id, how, now, among=RUNNING, fence=fence)

        return await self._store.write(work, self._follow)

    async def lose(self, held: Held) -> Job | None:
        """A worker is gone: its job waits again, or fails when that happened too often."""
        now = self._board.clock.time()
        lines = list(self._board.events.lines(held.ticket.id))

        def work(connection: sqlite3.Connection) -> sqlite3.Row | None:
            return transitions.lose(connection, held.ticket.id, Fence(held.attempt), now, lines)

        return await self._store.write(work, self._follow)

    async def give_back(self, lease: str) -> bool:
        """A worker returns a job unworked."""
        job_id, attempt = parse(lease)
        work = partial(transitions.give_back, job_id=job_id, fence=Fence(attempt))
        return await self._store.write(work, self._follow) is not None

    def _follow(self, row: sqlite3.Row | None) -> None:
        if row is not None and row["state"] == State.QUEUED:
            self._board.requeued(row)
        elif row is not None:
            self._board.ended(row)

    def _may(self) -> bool:
        """Whether jobs may be handed out; if not, that is asked again in a while."""
        if self.allowed():
            return True
        if self._pause is None:
            log.error("jobs wait until the disk has room for their pictures")
            self._pause = asyncio.get_running_loop().call_later(RETRY_S, self._after_pause)
        return False

    def _after_pause(self) -> None:
        self._pause = None
        self.match()

    def _claim(self, poll: Poll) -> None:
        line, now = self._board.line, self._board.clock.time()
        tickets = [ticket for _ in range(poll.count) if (ticket := line.next()) is not None]
        self._board.claiming.update({ticket.id: ticket for ticket in tickets})
        poll.claiming = True

        def work(connection: sqlite3.Connection) -> list[sqlite3.Row | None]:
            return [transitions.start(connection, ticket.id, poll.worker, now) for ticket in tickets]

        done = self._store.post(work, partial(self._claimed, poll, tickets))
        done.add_done_callback(partial(self._unclaimed, poll, tickets))

    def _claimed(self, poll: Poll, tickets: list[Ticket], rows: list[sqlite3.Row | None]) -> None:
        self._release_claims(poll, tickets)
        started = [
            self._board.started(ticket, row)
            for ticket, row in zip(tickets, rows, strict=True)
            if row is not None
        ]
        if poll.gone:
            self._return(started)
        elif started:
            poll.leases.set_result(started)
        else:
            # Every one of them was cancelled in between.
            self._hold_on(poll)
            self.match()

    def _unclaimed(self, poll: Poll, tickets: list[Ticket], done: asyncio.Future[object]) -> None:
        """The store refused: the jobs wait on, the poll too."""
        if done.cancelled() or done.exception() is None:
            return
        self._release_claims(poll, tickets)
        for ticket in tickets:
            self._board.wait(ticket)
        if not poll.gone:
            self._hold_on(poll)
        asyncio.get_running_loop().call_later(RETRY_S, self.match)

    def _hold_on(self, poll: Poll) -> None:
        """The poll got nothing: it waits on, in its place, while it has time."""
        if poll.over:
            poll.leases.set_result([])
        else:
            self._polls.appendleft(poll)

    def _release_claims(self, poll: Poll, tickets: list[Ticket]) -> None:
        poll.claiming = False
        for ticket in tickets:
            self._board.claiming.pop(ticket.id, None)

    def _abandon(self, poll: Poll) -> None:
        """The caller has gone: no job may go to it."""
        poll.gone = True
        self._forget(poll)
        if poll.leases.done():
            self._return(poll.leases.result())

    def _return(self, leases: list[Lease]) -> None:
        for lease in leases:
            task = asyncio.ensure_future(self.give_back(lease.id))
            task.add_done_callback(_note_failure)

    def _forget(self, poll: Poll) -> None:
        if poll in self._polls:
            self._polls.remove(poll)


def _outcome(result: Mapping[str, Any] | Failure, lines: Sequence[LogLine]) -> End:
    """How a finished job ends. An output that is no JSON (NaN) is a failure."""
    if isinstance(result, Failure):
        return End(State.FAILED, failure=result, lines=lines)
    try:
        return End(State.COMPLETED, output=dump(result), lines=lines)
    except (TypeError, ValueError):
        return End(State.FAILED, failure=Failure.of(InternalError()), lines=lines)


def _note_failure(task: asyncio.Future[bool]) -> None:
    if not task.cancelled() and isinstance(task.exception(), FooocusError):
        log.warning("a job stays leased until its lease ends: %s", task.exception())
