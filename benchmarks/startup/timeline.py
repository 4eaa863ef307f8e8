"""Phases of one process: wall and processor seconds, and bytes it asked the system for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

IO = Path("/proc/self/io")


@dataclass(frozen=True)
class Phase:
    """seconds: on the clock. cpu_seconds: of all threads. read_bytes: by read calls, from disk or the page cache;
    a file mapped into memory counts nothing."""

    name: str
    seconds: float
    cpu_seconds: float
    read_bytes: int


@dataclass
class Timeline:
    """Phases in order of their end. A phase inside another is subtracted from it."""

    phases: list[Phase] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        first, begin = len(self.phases), _now()
        yield
        inner = self.phases[first:]
        seconds, cpu_seconds, read_bytes = (after - before for before, after in zip(begin, _now(), strict=True))
        self.phases.append(
            Phase(
                name,
                seconds - sum(phase.seconds for phase in inner),
                cpu_seconds - sum(phase.cpu_seconds for phase in inner),
                int(read_bytes) - sum(phase.read_bytes for phase in inner),
            )
        )

    def rows(self) -> list[dict[str, str | float | int]]:
        """The phases as JSON."""
        return [asdict(phase) for phase in self.phases]


def _now() -> tuple[float, float, int]:
    rows = dict(line.split(": ") for line in IO.read_text().splitlines()) if IO.exists() else {}
    return time.perf_counter(), time.process_time(), int(rows.get("rchar", 0))
