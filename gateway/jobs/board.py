"""The live jobs in memory. The store decides; the board follows, in the order of the commits."""

from __future__ import annotations

import heapq
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence

from gateway.jobs.cache import Recent
from gateway.jobs.clock import Clock
from gateway.jobs.events import Events
from gateway.jobs.leases import Held, Leases
from gateway.jobs.line import Line, Ticket
from gateway.jobs.model import Counts, Job, Lease, State
from gateway.jobs.policy import Policy
from gateway.jobs.records import job as record
from gateway.jobs.records import size
from gateway.jobs.stops import Stops

RECENT_CHARS = 8 * 2**20
"""JSON kept of the jobs asked for lately."""


class Board:
    """What the queue knows of jobs that have not ended, and the jobs asked for lately.

    Every method named after a step takes the row that step left in the store.
    """

    def __init__(self, policy: Policy, clock: Clock) -> None:
        self.policy = policy
        self.clock = clock
        self.line = Line()
        self.claiming: dict[str, Ticket] = {}
        self.leases = Leases()
        self.stops = Stops()
        self.events = Events(policy.log_lines)
        self.recent = Recent(RECENT_CHARS)
        self.on_waiting: Callable[[], None] = lambda: None
        self.on_end: list[Callable[[Job], None]] = []
        self.elsewhere: set[str] = set()
        self.run_s = 10.0
        self._starts: list[tuple[float, str]] = []
        self._tally: Counter[str] = Counter()

    def counts(self) -> Counts:
        tally = self._tally
        return Counts(
            queued=len(self.line) + len(self.claiming),
            running=len(self.leases),
            completed=tally[State.COMPLETED],
            failed=tally[State.FAILED],
            cancelled=tally[State.CANCELLED],
            requeued=tally["requeued"],
        )

    def alive(self, job_id: str) -> bool:
        return job_id in self.line or job_id in self.claiming or self.leases.of_job(job_id) is not None

    def waiting_s(self) -> float:
        """A guess at when the line will be shorter by one."""
        return min(60.0, self.run_s / max(1, len(self.leases)))

    def recovered(self, rows: Sequence[sqlite3.Row]) -> None:
        """The live jobs of an earlier process."""
        waiting = [self._ticket(row) for row in rows if row["state"] == State.QUEUED]
        self.line.join_all(waiting)
        self._starts = [(ticket.leave_by, ticket.id) for ticket in waiting if ticket.leave_by is not None]
        heapq.heapify(self._starts)
        for row in rows:
            if row["state"] == State.RUNNING:
                self._recovered_running(row)

    def _recovered_running(self, row: sqlite3.Row) -> None:
        """A worker that survived has one lease's time to say so; one that goes on without us may have a result, however
        long we were away."""
        ticket = self._ticket(row)
        ticket.turn = 0
        now = self.clock.monotonic()
        ran = max(0.0, self.clock.time() - row["started_at"])
        grace_s = self.policy.lease_s if row["worker"] in self.elsewhere else 0.0
        left = max(grace_s, ticket.execution_timeout_s - ran)
        self.leases.add(Held(ticket, row["attempts"], row["worker"], now, now + self.policy.lease_s, now + left))

    def queued(self, row: sqlite3.Row) -> Job:
        """A new job waits, or one that had failed waits again."""
        job = self._moved(row)
        self.wait(self._ticket(row))
        self.on_waiting()
        return job

    def started(self, ticket: Ticket, row: sqlite3.Row) -> Lease:
        job = self._moved(row)
        now = self.clock.monotonic()
        end = now + ticket.execution_timeout_s
        held = Held(ticket, row["attempts"], row["worker"], now, now + self.policy.lease_s, end)
        self.leases.add(held)
        return Lease(held.id, job)

    def requeued(self, row: sqlite3.Row) -> Job:
        """A running job waits again, in its old turn."""
        held = self.leases.drop(row["id"])
        self._tally["requeued"] += 1
        job = self._moved(row)
        if held is not None:
            held.ticket.start_by = None
            self.wait(held.ticket)
            self.on_waiting()
        return job

    def ended(self, row: sqlite3.Row) -> Job:
        held = self.leases.drop(row["id"])
        self.line.leave(row["id"])
        if held is not None:
            self.run_s += 0.1 * (self.clock.monotonic() - held.started - self.run_s)
        self._tally[row["state"]] += 1
        job = self._moved(row)
        for tell in self.on_end:
            tell(job)
        return job

    def stop(self, held: Held | None) -> None:
        """Have a worker told that a job is not its any more."""
        if held is not None:
            self.stops.add(held.worker, held.id)

    def late(self, now: float) -> list[str]:
        """The waiting jobs that have waited too long; each is told once."""
        late = []
        while self._starts and self._starts[0][0] <= now:
            late.append(heapq.heappop(self._starts)[1])
        waiting = filter(None, map(self.line.get, late))
        return [ticket.id for ticket in waiting if ticket.leave_by is not None and ticket.leave_by <= now]

    def late_again(self, job_id: str) -> None:
        """What was to follow from `late` could not be done: tell of this job once more."""
        ticket = self.line.get(job_id)
        if ticket is not None and ticket.start_by is not None:
            heapq.heappush(self._starts, (ticket.start_by, ticket.id))

    def wait(self, ticket: Ticket) -> None:
        """Put a job into the line, and mind its deadlines."""
        self.line.join(ticket)
        if ticket.leave_by is not None:
            heapq.heappush(self._starts, (ticket.leave_by, ticket.id))
        if len(self._starts) > 2 * len(self.line) + 1024:
            self._starts = [start for start in self._starts if start[1] in self.line]
            heapq.heapify(self._starts)

    def _moved(self, row: sqlite3.Row) -> Job:
        job = record(row)
        self.recent.put(job, size(row))
        self.events.moved(job)
        return job

    def _ticket(self, row: sqlite3.Row) -> Ticket:
        return Ticket(
            id=row["id"],
            seq=row["seq"],
            owner=row["owner"],
            door=row["door"],
            low_priority=bool(row["low_priority"]),
            execution_timeout_s=row["execution_timeout_s"],
            start_by=None if row["attempts"] else self._deadline(row, "start_within_s"),
            end_by=self._deadline(row, "end_within_s"),
        )

    def _deadline(self, row: sqlite3.Row, name: str) -> float | None:
        if row[name] is None:
            return None
        passed = max(0.0, self.clock.time() - row["created_at"])
        return self.clock.monotonic() + max(0.0, row[name] - passed)
