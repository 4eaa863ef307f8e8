"""Who is next: first come, first served, low priority behind normal, and owners served in turn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sortedcontainers import SortedKeyList


@dataclass(slots=True)
class Ticket:
    """A live job as the queue keeps it in memory.

    start_by: monotonic seconds, when it must have started. turn: its owner's turn (`Line`), set on joining.
    """

    id: str
    seq: int
    owner: str
    door: str
    low_priority: bool
    execution_timeout_s: float
    start_by: float | None
    turn: int | None = None

    @property
    def key(self) -> tuple[bool, int, int]:
        return self.low_priority, self.turn or 0, self.seq


class Line:
    """The waiting jobs, in the order they will be taken.

    Start-time fair queueing: each job of an owner gets a turn one after the owner's last, but never before the turn
    being served; jobs go by (priority, turn, arrival). Someone new waits for at most one job of each other owner,
    however many they have queued. A job that returns keeps its turn, so it is next.
    """

    def __init__(self) -> None:
        self._tickets: dict[str, Ticket] = {}
        self._order: SortedKeyList = SortedKeyList(key=lambda ticket: ticket.key)
        self._serving = {False: 0, True: 0}
        self._last_turn: dict[tuple[str, bool], int] = {}
        self._of_owner: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._tickets)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._tickets

    def join(self, ticket: Ticket) -> None:
        """Add a job; its turn is set unless it has one."""
        if ticket.turn is None:
            ticket.turn = self._next_turn(ticket.owner, ticket.low_priority)
            self._last_turn[ticket.owner, ticket.low_priority] = ticket.turn
        self._tickets[ticket.id] = ticket
        self._order.add(ticket)
        self._of_owner[ticket.owner] += 1

    def leave(self, job_id: str) -> Ticket | None:
        """Remove a job, if it is waiting."""
        ticket = self._tickets.pop(job_id, None)
        if ticket is not None:
            self._order.remove(ticket)
            self._forget_one(ticket)
        return ticket

    def next(self) -> Ticket | None:
        """Remove and return the job to take now."""
        if not self._order:
            return None
        ticket = self._order[0]
        self._serving[ticket.low_priority] = max(self._serving[ticket.low_priority], ticket.turn)
        return self.leave(ticket.id)

    def position(self, job_id: str) -> int | None:
        """Jobs ahead of a waiting one; None when it is not waiting. O(log n)."""
        ticket = self._tickets.get(job_id)
        return None if ticket is None else self._order.bisect_key_left(ticket.key)

    def ahead_of_new(self, owner: str, low_priority: bool) -> int:
        """Jobs that would be ahead of one submitted now."""
        return self._order.bisect_key_left((low_priority, self._next_turn(owner, low_priority), 1 << 62))

    def waiting_of(self, owner: str) -> int:
        """How many jobs of an owner wait."""
        return self._of_owner[owner]

    def ids_of(self, owner: str) -> list[str]:
        """An owner's waiting jobs, next first."""
        return [ticket.id for ticket in self._order if ticket.owner == owner]

    def _next_turn(self, owner: str, low_priority: bool) -> int:
        return max(self._serving[low_priority], self._last_turn.get((owner, low_priority), -1) + 1)

    def _forget_one(self, ticket: Ticket) -> None:
        self._of_owner[ticket.owner] -= 1
        if not self._of_owner[ticket.owner]:
            del self._of_owner[ticket.owner]
