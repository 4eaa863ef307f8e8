"""Who works on what, and until when they must show life. In memory, on monotonic time; the store has the fence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.jobs.line import Ticket


def lease_id(job_id: str, attempt: int) -> str:
    """What a worker knows a job by: of each attempt another."""
    return f"{job_id}-a{attempt}"


def parse(lease: str) -> tuple[str, int]:
    """Job id and attempt of a lease id; attempt -1, which no job has, for anything else."""
    job_id, mark, attempt = lease.rpartition("-a")
    return (job_id, int(attempt)) if mark and attempt.isascii() and attempt.isdigit() else (lease, -1)


@dataclass(slots=True)
class Held:
    """A running job. Times are monotonic seconds: the lease ends at `expires`, its time to run at `must_end`."""

    ticket: Ticket
    attempt: int
    worker: str
    started: float
    expires: float
    must_end: float

    @property
    def id(self) -> str:
        return lease_id(self.ticket.id, self.attempt)

    @property
    def ends(self) -> float:
        """When the run is over: its own time, or that of its job as a whole."""
        return self.must_end if self.ticket.end_by is None else min(self.must_end, self.ticket.end_by)


class Leases:
    """The running jobs, one lease each."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._held.values()))

    def add(self, held: Held) -> None:
        self._held[held.ticket.id] = held

    def get(self, lease: str, worker: str) -> Held | None:
        """The lease if this worker has it."""
        job_id, attempt = parse(lease)
        held = self._held.get(job_id)
        return held if held and held.attempt == attempt and held.worker == worker else None

    def of_job(self, job_id: str) -> Held | None:
        return self._held.get(job_id)

    def drop(self, job_id: str) -> Held | None:
        return self._held.pop(job_id, None)

    def of_worker(self, worker: str) -> list[Held]:
        return [held for held in self._held.values() if held.worker == worker]

    def extend(self, held: Iterable[Held], until: float) -> None:
        """Renew leases; none is shortened."""
        for lease in held:
            lease.expires = max(lease.expires, until)

    def shift(self, seconds: float) -> None:
        """Move every deadline: time in which the gateway itself stood still counts against no worker."""
        for held in self._held.values():
            held.expires += seconds
            held.must_end += seconds
