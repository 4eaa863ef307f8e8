"""Who is next: first come, first served, low priority behind normal, and owners served in turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sortedcontainers import SortedKeyList

Class = tuple[str, bool]
"""An owner's jobs of one priority (low or not)."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A live job as the queue keeps it in memory.

    start_by, end_by: monotonic seconds, when it must have started, and when it must have ended. turn: its owner's
    turn (`Line`), set on joining.
    """

    id: str
    seq: int
    owner: str
    door: str
    low_priority: bool
    execution_timeout_s: float
    start_by: float | None
    end_by: float | None = None
    turn: int | None = None

    @property
    def leave_by(self) -> float | None:
        """When waiting must be over."""
        return min((at for at in (self.start_by, self.end_by) if at is not None), default=None)

    @property
    def owner_class(self) -> Class:
        return self.owner, self.low_priority

    @property
    def key(self) -> tuple[bool, int, int]:
        return self.low_priority, self.turn or 0, self.seq


class Line:
    """The waiting jobs, in the order they will be taken.

    Start-time fair queueing (Goyal, Vin, Cheng 1996) with jobs of equal cost: each job of an owner gets a turn one
    after the owner's last, but never before the turn being served; jobs go by (priority, turn, arrival). Someone new
    waits for at most one job of each other owner, however many they have queued. A job that returns keeps its turn,
    so it is next.
    """

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}
        self._order: SortedKeyList = SortedKeyList(key=lambda ticket: ticket.key)
        self._waiting: Counter[Class] = Counter()
        self._serving = {False: 0, True: 0}
        self._served: dict[Class, int] = {}
        self._last_turn: dict[Class, int] = {}
        self._forget_at = 64

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._tickets

    def join(self, ticket: Ticket) -> None:
        """Add a job; its turn is set unless it has one."""
        self._admit(ticket)
        self._order.add(ticket)

    def join_all(self, tickets: Iterable[Ticket]) -> None:
        """Add many at once, in order of arrival."""
        tickets = list(tickets)
        for ticket in tickets:
            self._admit(ticket)
        self._order.update(tickets)

    def get(self, job_id: str) -> Ticket | None:
        return self._tickets.get(job_id)

    def leave(self, job_id: str) -> Ticket | None:
        """Remove a job, if it is waiting."""
        ticket = self._tickets.pop(job_id, None)
        if ticket is not None:
            self._order.remove(ticket)
            self._waiting[ticket.owner_class] -= 1
            if not self._waiting[ticket.owner_class]:
                self._idle(ticket.owner_class)
        return ticket

    def next(self) -> Ticket | None:
        """Remove and return the job to take now."""
        if not self._order:
            return None
        ticket = self._order[0]
        low, turn = ticket.low_priority, ticket.turn
        self._serving[low] = max(self._serving[low], turn)
        self._served[ticket.owner_class] = max(self._served.get(ticket.owner_class, 0), turn)
        return self.leave(ticket.id)

    def position(self, job_id: str) -> int | None:
        """Jobs ahead of a waiting one; None when it is not waiting. O(log n)."""
        ticket = self._tickets.get(job_id)
        return None if ticket is None else self._order.bisect_key_left(ticket.key)

    def waiting_of(self, owner: str) -> int:
        """How many jobs of an owner wait."""
        return self._waiting[owner, False] + self._waiting[owner, True]

    def _admit(self, ticket: Ticket) -> None:
        if ticket.turn is None:
            ticket.turn = self._last_turn[ticket.owner_class] = self._next_turn(ticket.owner_class)
        self._tickets[ticket.id] = ticket
        self._waiting[ticket.owner_class] += 1

    def _next_turn(self, owner_class: Class) -> int:
        return max(self._serving[owner_class[1]], self._last_turn.get(owner_class, -1) + 1)

    def _idle(self, owner_class: Class) -> None:
        """The owner has nothing waiting: turns of jobs it took back are not held against it."""
        del self._waiting[owner_class]
        self._last_turn[owner_class] = self._served.get(owner_class, -1)
        if not self._waiting:
            # Nobody waits, so nobody is ahead: past turns mean nothing any more.
            self._serving = {low: turn + 1 for low, turn in self._serving.items()}
        if not self._waiting or len(self._last_turn) > self._forget_at:
            self._forget_the_idle()

    def _forget_the_idle(self) -> None:
        """Owners whose last turn is past would get the turn being served anyway."""
        for owner_class, turn in list(self._last_turn.items()):
            if owner_class not in self._waiting and turn < self._serving[owner_class[1]]:
                del self._last_turn[owner_class]
                self._served.pop(owner_class, None)
        self._forget_at = 2 * len(self._last_turn) + 64
