"""The queue: what doors and workers do with jobs. Every answer is about something that is on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from gateway.jobs import transitions
from gateway.jobs.board import Board
from gateway.jobs.clock import Clock, SystemClock
from gateway.jobs.events import Event
from gateway.jobs.handout import Handout
from gateway.jobs.leases import Held
from gateway.jobs.model import Cancelled, Counts, Failure, Job, Lease, LogLine, NewJob, Progress, State
from gateway.jobs.policy import Policy
from gateway.jobs.records import job as record
from gateway.jobs.records import load_logs, new_row, size
from gateway.jobs.states import LIVE, QUEUED
from gateway.jobs.store import Store
from gateway.jobs.sweep import Sweep
from gateway.jobs.transitions import SQL, End
from schemas.errors import FooocusError, JobCancelled, JobNotFound, QueueFull, RetryRefused, ShuttingDown

MAX_HISTORY = 100


class Jobs:
    """All jobs of one store. `start` before use; `drain`, then `close`, at the end.

    Doors: submit, enter, known, fail_at_once, get, position, cancel, wait, watch, logs, progress, history, delete,
    retry, purge.
    Workers: take, renew, report, log, hold_off, begin, finish, give_back, lose, outlives, stops.
    """

    def __init__(self, store: Store, policy: Policy | None = None, clock: Clock | None = None) -> None:
        self._store = store
        self._board = Board(policy or Policy(), clock or SystemClock())
        self._handout = Handout(store, self._board)
        self._sweep = Sweep(store, self._board, self._handout)
        self._entering = 0
        self._draining = False
        self._task: asyncio.Task[None] | None = None

    async def start(self, *, sweep: bool = True) -> None:
        """Take up what an earlier process left, then mind the time (`sweep`: in the background)."""
        rows = await self._store.read(lambda connection: connection.execute(SQL["live"]).fetchall())
        self._board.recovered(rows)
        if sweep:
            self._task = asyncio.create_task(self._sweep.run())

    def on_end(self, tell: Callable[[Job], None]) -> None:
        """Have `tell` called, in the event loop, for each job that ends, once that is on the disk."""
        self._board.on_end.append(tell)

    def on_delete(self, tell: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Have `tell` awaited with the ids of jobs whose records went."""
        self._sweep.on_delete.append(tell)

    def only_while(self, allowed: Callable[[], bool]) -> None:
        """Hand out jobs only while `allowed()`; they wait on meanwhile."""
        self._handout.allowed = allowed

    # What doors do

    async def submit(self, new: NewJob) -> Job:
        """Accept a job: once this returns, it survives whatever happens to the machine.

        The same idempotency key with the same body gives the job it gave before.
        Raises ShuttingDown, QueueFull, IdempotencyConflict, StoreUnavailable: then nothing was accepted.
        """
        return (await self.enter(new))[0]

    async def enter(self, new: NewJob) -> tuple[Job, bool]:
        """`submit`, and whether the job is new."""
        if self._draining:
            raise ShuttingDown()
        known = await self._admit(new)
        if known is not None:
            return known, False
        values = new_row(new, self._board.policy, self._board.clock.time())
        done = self._store.post(partial(transitions.insert, values=values), self._entered)
        self._entering += 1
        done.add_done_callback(self._not_entered)
        # A caller that leaves must not end the bookkeeping: the write goes on without it.
        row, is_new = await asyncio.shield(done)
        return self._board.recent.get(row["id"]) or record(row), is_new

    async def known(self, new: NewJob) -> Job | None:
        """The job that this idempotency key gave before, if any. Raises IdempotencyConflict."""
        if new.idempotency_key is None:
            return None
        values = new_row(new, self._board.policy, 0)
        # In the writer, so that a first submission still on its way is seen.
        row = await self._store.write(partial(transitions.known, values=values))
        return None if row is None else record(row)

    async def fail_at_once(self, new: NewJob, error: FooocusError) -> Job:
        """Record a job that failed before it could wait: for clients that learn of invalid input at the result."""
        if self._draining:
            raise ShuttingDown()
        values = new_row(new, self._board.policy, self._board.clock.time())
        how = End(State.FAILED, failure=Failure.of(error))

        def work(connection: sqlite3.Connection) -> tuple[sqlite3.Row, bool]:
            row, is_new = transitions.insert(connection, values)
            if is_new:
                row = transitions.end(connection, row["id"], how, values["created_at"]) or row
            return row, is_new

        row, _ = await self._store.write(work, lambda done: done[1] and self._board.ended(done[0]))
        return record(row)

    async def get(self, job_id: str, owner: str | None = None) -> Job | None:
        """A job; None when there is none, or when it is not `owner`'s."""
        job = self._board.recent.get(job_id) or await self._load(job_id)
        return None if job is None or (owner is not None and job.owner != owner) else job

    def position(self, job_id: str) -> int:
        """Jobs ahead of a waiting one; 0 for every other."""
        return self._board.line.position(job_id) or 0

    async def cancel(self, job_id: str) -> Cancelled:
        """Cancel a job, waiting or running. Raises JobNotFound."""
        was_running = False

        def then(row: sqlite3.Row | None) -> None:
            nonlocal was_running
            held = self._board.leases.of_job(job_id)
            if row is not None:
                was_running = held is not None
                self._board.stop(held)
                self._board.ended(row)

        row = await self._store.write(self._cancelling(job_id, LIVE), then)
        if row is not None:
            return Cancelled.STOPPING if was_running else Cancelled.DROPPED
        if await self.get(job_id) is None:
            raise JobNotFound()
        return Cancelled.ALREADY_DONE

    async def wait(self, job_id: str, timeout_s: float | None = None) -> Job:
        """The job once it has ended, or as it is when the time is over. Raises JobNotFound."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                async for _ in self.watch(job_id):
                    pass
        job = await self.get(job_id)
        if job is None:
            raise JobNotFound()
        return job

    async def watch(self, job_id: str) -> AsyncIterator[Event]:
        """The job as it is, then what happens to it: states, log lines, progress. Ends with the job's final state.

        Slow readers lose old previews first, then old log lines, never states. Raises JobNotFound.
        """
        watcher = self._board.events.subscribe(job_id)
        try:
            job = await self.get(job_id)
            if job is None:
                raise JobNotFound()
            yield job
            if job.state.final:
                return
            async for event in watcher:
                yield event
        finally:
            self._board.events.unsubscribe(job_id, watcher)

    async def logs(self, job_id: str, after: int = 0) -> Sequence[LogLine]:
        """The job's log from line number `after` on."""
        lines = self._board.events.lines(job_id)
        if not lines and not self._board.alive(job_id):
            lines = await self._store.read(partial(_stored_logs, job_id=job_id))
        return lines[after:]

    def progress(self, job_id: str) -> Progress | None:
        """The latest progress of a running job."""
        return self._board.events.progress(job_id)

    async def history(
        self,
        owner: str,
        *,
        door: str | None = None,
        among: Iterable[State] = State,
        before: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[Job]:
        """An owner's jobs in one of the states `among`, newest first, at most MAX_HISTORY.

        before: only those submitted before the job of this id. offset: how many to skip.
        """
        values = {"owner": owner, "door": door, "states": json.dumps(sorted(among)), "before": before}
        values |= {"limit": min(limit, MAX_HISTORY), "offset": offset}
        return await self._store.read(lambda connection: list(map(record, connection.execute(SQL["history"], values))))

    async def tally(self, owner: str, door: str, among: Iterable[State]) -> int:
        """How many jobs of an owner at a door are in one of the states."""
        values = {"owner": owner, "door": door, "states": json.dumps(sorted(among))}
        return await self._store.read(lambda connection: connection.execute(SQL["tally"], values).fetchone()[0])

    async def delete(self, job_id: str) -> bool:
        """Delete an ended job with all that belongs to it; False when it has not ended."""
        return await self._sweep.delete([job_id]) == 1

    async def retry(self, job_id: str) -> Job:
        """Queue a failed job again under its id. Raises JobNotFound, RetryRefused, QueueFull, ShuttingDown."""
        if self._draining:
            raise ShuttingDown()
        self._check_room()
        row = await self._store.write(
            partial(transitions.retry, job_id=job_id), lambda row: row is not None and self._board.queued(row)
        )
        if row is not None:
            return record(row)
        if await self.get(job_id) is None:
            raise JobNotFound()
        raise RetryRefused()

    async def purge(self, owner: str, door: str) -> int:
        """Cancel all waiting jobs of an owner at a door; how many."""

        def work(connection: sqlite3.Connection) -> list[sqlite3.Row]:
            ids = [row["id"] for row in connection.execute(SQL["waiting"], {"owner": owner, "door": door}).fetchall()]
            return [row for job_id in ids if (row := self._cancelling(job_id, QUEUED)(connection)) is not None]

        def then(rows: Iterable[sqlite3.Row]) -> None:
            for row in rows:
                self._board.ended(row)

        return len(await self._store.write(work, then))

    def counts(self) -> Counts:
        return self._board.counts()

    def waiting_of(self, owner: str) -> int:
        """How many jobs of an owner wait."""
        return self._board.line.waiting_of(owner)

    # What workers do

    async def take(self, worker: str, count: int = 1, hold_s: float = 20) -> list[Lease]:
        """Up to `count` jobs, waiting up to `hold_s` for the first. No job goes to a caller that was cancelled."""
        return await self._handout.take(worker, count, hold_s)

    async def renew(self, worker: str, lease_ids: Iterable[str]) -> None:
        """The worker lives and works on these; it is told to stop those that are not its any more."""
        until = self._board.clock.monotonic() + self._board.policy.lease_s
        for lease in lease_ids:
            held = self._board.leases.get(lease, worker)
            if held is not None:
                held.expires = max(held.expires, until)
            else:
                self._board.stops.add(worker, lease)

    async def report(self, lease_id: str, worker: str, progress: Progress) -> bool:
        """The worker's progress, which renews the lease; False when the job is not its any more."""
        held = self._board.leases.get(lease_id, worker)
        if held is not None:
            await self.renew(worker, [lease_id])
            self._board.events.report(held.ticket.id, progress)
        return held is not None

    def log(self, job_id: str, line: LogLine) -> None:
        """Add a line to a live job's log; kept with the record when the job ends."""
        if self._board.alive(job_id):
            self._board.events.log(job_id, line)

    def hold_off(self, lease_id: str, worker: str, most_s: float) -> None:
        """The job waits in a queue of the worker's own, for at most so long: its time to run has not begun."""
        held = self._board.leases.get(lease_id, worker)
        if held is not None:
            held.must_end = max(held.must_end, self._board.clock.monotonic() + most_s)

    def begin(self, lease_id: str, worker: str) -> None:
        """The job's time to run begins now, after a `hold_off`."""
        held = self._board.leases.get(lease_id, worker)
        if held is not None:
            held.must_end = self._board.clock.monotonic() + held.ticket.execution_timeout_s

    def outlives(self, worker: str) -> None:
        """This worker goes on when we end, and is asked for its jobs by the next process: `drain` leaves them to it.
        Say so before `start`."""
        self._board.elsewhere.add(worker)

    async def finish(self, lease_id: str, worker: str, result: Mapping[str, Any] | Failure) -> bool:
        """The outcome of a lease: the job's output or why it failed. False: late or stale, and dropped.

        Outcome, log and outbox rows are one transaction. Raises StoreUnavailable: then it may be posted again.
        """
        return await self._handout.finish(lease_id, worker, result)

    async def give_back(self, lease_id: str) -> bool:
        """The worker leaves without having worked on it: the job waits again, in its old turn."""
        return await self._handout.give_back(lease_id)

    async def lose(self, worker: str) -> None:
        """The worker is known to be dead: do not wait for its leases to end."""
        self._board.stops.forget(worker)
        await asyncio.gather(*map(self._handout.lose, self._board.leases.of_worker(worker)))

    async def stops(self, worker: str, hold_s: float = 20) -> list[str]:
        """Lease ids the worker should stop working on, waiting up to `hold_s` for the first."""
        return await self._board.stops.take(worker, hold_s)

    # The end

    async def drain(self, grace_s: float) -> None:
        """Accept and hand out nothing more; let running jobs finish for `grace_s`, then queue the rest again."""
        self._draining = True
        self._handout.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                while self._here() or self._board.claiming or self._entering:
                    await asyncio.sleep(0.05)
        for held in self._here():
            self._board.stop(held)
            await self._handout.give_back(held.id)

    async def close(self) -> None:
        """End what is held open: polls, watchers, waits. The store stays open."""
        self._draining = True
        self._handout.stop()
        self._handout.release()
        self._board.stops.wake_all()
        self._board.events.end_all()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def tick(self) -> None:
        """What the background sweep does all the time: end leases and deadlines that are over."""
        await self._sweep.tick()

    async def expire(self) -> int:
        """What the background sweep does now and then: delete the records whose time is over; how many went."""
        return await self._sweep.expire()

    def _here(self) -> list[Held]:
        """The running jobs that end with us."""
        return [held for held in self._board.leases if held.worker not in self._board.elsewhere]

    async def _admit(self, new: NewJob) -> Job | None:
        """Raise QueueFull when there is no room; a known idempotency key needs none."""
        try:
            self._check_room(new.max_ahead)
        except QueueFull:
            known = await self.known(new)
            if known is None:
                raise
            return known
        return None

    def _check_room(self, max_ahead: int | None = None) -> None:
        waiting = len(self._board.line) + self._entering
        if waiting >= self._board.policy.max_queued or (max_ahead is not None and waiting > max_ahead):
            raise QueueFull(self._board.waiting_s())

    def _entered(self, inserted: tuple[sqlite3.Row, bool]) -> None:
        row, is_new = inserted
        self._entering -= 1
        if is_new:
            self._board.queued(row)

    def _not_entered(self, done: asyncio.Future[Any]) -> None:
        if done.exception() is not None:
            self._entering -= 1

    def _cancelling(
        self, job_id: str, among: frozenset[State]
    ) -> Callable[[sqlite3.Connection], sqlite3.Row | None]:
        lines = list(self._board.events.lines(job_id))
        how = End(State.CANCELLED, failure=Failure.of(JobCancelled()), lines=lines)
        return partial(transitions.end, job_id=job_id, how=how, now=self._board.clock.time(), among=among)

    async def _load(self, job_id: str) -> Job | None:
        token = self._board.recent.begin_read(job_id)
        row = await self._store.read(lambda connection: connection.execute(SQL["job"], {"id": job_id}).fetchone())
        job = record(row) if row is not None else None
        self._board.recent.end_read(token, job_id, job, size(row) if row is not None else 0)
        return job


def _stored_logs(connection: sqlite3.Connection, job_id: str) -> list[LogLine]:
    row = connection.execute(SQL["logs"], {"id": job_id}).fetchone()
    return load_logs(row["logs"] if row is not None else None)
