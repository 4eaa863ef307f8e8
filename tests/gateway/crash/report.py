"""What a run of the harness found."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.gateway.crash.history import History


@dataclass
class Report:
    """Figures of one kind of crash. crashes: how many; the others count over all of them."""

    kind: str
    bug: str
    crashes: int = 0
    accepted: int = 0
    leases: int = 0
    results: int = 0
    pictures: int = 0
    unacknowledged: int = 0
    breaches: list[str] = field(default_factory=list)
    restarts_s: list[float] = field(default_factory=list)

    def add(self, history: History) -> None:
        """Count one history."""
        self.accepted += len(history.accepted)
        self.leases += len(history.leases)
        self.results += history.results()
        self.unacknowledged += history.unacknowledged
        self.breaches += history.breaches

    def merge(self, other: Report) -> None:
        """Count what another report of the same kind has."""
        self.crashes += other.crashes
        self.accepted += other.accepted
        self.leases += other.leases
        self.results += other.results
        self.pictures += other.pictures
        self.unacknowledged += other.unacknowledged
        self.breaches += other.breaches
        self.restarts_s += other.restarts_s

    def lost(self) -> int:
        """Accepted jobs that are gone."""
        return sum("is lost" in breach for breach in self.breaches)

    def line(self) -> str:
        restarts = sorted(self.restarts_s) or [0.0]
        return (
            f"{self.kind:11} {self.bug:26} crashes {self.crashes:5}  accepted {self.accepted:7}  lost {self.lost():6}  "
            f"breaches {len(self.breaches):6}  hand-outs {self.leases:7}  results {self.results:7}  "
            f"pictures {self.pictures:5}  "
            f"stored unacknowledged {self.unacknowledged:5}  restart p50 {restarts[len(restarts) // 2]:.2f} s "
            f"p99 {restarts[int(0.99 * (len(restarts) - 1))]:.2f} s"
        )
