"""What clients and workers were told, and whether the store keeps to it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

FINAL = {"completed", "failed", "cancelled"}


@dataclass
class Finish:
    """A worker's result: asked at a time; accepted or not, None when no answer came."""

    asked_at: float
    accepted: bool | None = None


@dataclass
class History:
    """Everything that was acknowledged, and every breach found so far. Times are seconds of one clock."""

    accepted: dict[str, str | None] = field(default_factory=dict)
    """Job ids told to clients, with the idempotency key."""
    by_key: dict[str, str] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)
    """Lease ids told to workers, and when."""
    finishes: dict[str, Finish] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    outcomes: dict[str, list[Any]] = field(default_factory=dict)
    """How each job was seen to have ended."""
    breaches: list[str] = field(default_factory=list)
    unacknowledged: int = 0
    _of_job: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def submitted(self, job_id: str, key: str | None) -> None:
        if key is not None and self.by_key.setdefault(key, job_id) != job_id:
            self._breach(f"key {key} gave {self.by_key[key]} and {job_id}")
        self.accepted[job_id] = key

    def taken(self, lease: str, at: float) -> None:
        if lease in self.leases:
            self._breach(f"lease {lease} was handed out twice")
        self.leases[lease] = at
        self._of_job[job_of(lease)].append(lease)

    def finished(self, lease: str, asked_at: float, accepted: bool | None) -> None:
        self.finishes[lease] = Finish(asked_at, accepted)
        if not accepted:
            return
        job_id = job_of(lease)
        if job_id in self.cancelled:
            self._breach(f"{job_id} was cancelled, then finished")
        for rival in self._of_job[job_id]:
            if attempt_of(rival) > attempt_of(lease) and self.leases[rival] < asked_at:
                self._breach(f"{lease} was accepted although {rival} had been handed out")
            if rival != lease and rival in self.finishes and self.finishes[rival].accepted:
                self._breach(f"{job_id} was finished twice")

    def results(self) -> int:
        """How many were accepted."""
        return sum(finish.accepted is True for finish in self.finishes.values())

    def seen(self, dump: dict[str, Any]) -> None:
        """Compare the whole store, after a crash or at the end, with what was told."""
        if dump["integrity"] != "ok":
            self._breach(f"integrity: {dump['integrity']}")
        for job_id in self.accepted:
            if job_id not in dump["jobs"]:
                self._breach(f"{job_id} was accepted and is lost")
        self.unacknowledged = len(dump["jobs"].keys() - self.accepted.keys())
        for job_id, found in dump["jobs"].items():
            self._check_job(job_id, found, dump["told"].get(job_id, 0))
        for lease, finish in self.finishes.items():
            job = dump["jobs"].get(job_of(lease))
            if finish.accepted and (job is None or job[0] != "completed" or job[2] != lease):
                self._breach(f"the result of {lease} was accepted, the store has {job}")
        for lease in self.leases:
            job = dump["jobs"].get(job_of(lease))
            if job is not None and job[1] < attempt_of(lease):
                self._breach(f"{lease} was handed out, the store knows of {job[1]} attempts")

    def drawn(self, pictures: list[list[Any]]) -> int:
        """Completed jobs and what is wrong with their pictures; how many there are."""
        for job_id, wrong in pictures:
            if wrong is not None:
                self._breach(f"the picture of {job_id} is {wrong}")
        return len(pictures)

    def all_ended(self, dump: dict[str, Any]) -> None:
        """Given time and workers, no job may be left."""
        states = Counter(state for state, _, _ in dump["jobs"].values() if state not in FINAL)
        if states:
            self._breach(f"stuck: {dict(states)}")

    def _check_job(self, job_id: str, found: list[Any], told: int) -> None:
        state, _, outcome = found
        if told != (state in FINAL):
            self._breach(f"{job_id} is {state} with {told} outbox rows")
        if job_id in self.cancelled and state != "cancelled":
            self._breach(f"{job_id} was cancelled and is {state}")
        if job_id in self.outcomes and self.outcomes[job_id] != [state, outcome]:
            self._breach(f"the outcome of {job_id} changed from {self.outcomes[job_id]} to {[state, outcome]}")
        if state in FINAL:
            self.outcomes[job_id] = [state, outcome]

    def _breach(self, text: str) -> None:
        if text not in self.breaches:
            self.breaches.append(text)


def job_of(lease: str) -> str:
    return lease.rpartition("-a")[0]


def attempt_of(lease: str) -> int:
    return int(lease.rpartition("-a")[2])
