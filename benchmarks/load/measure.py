"""Many connections asking at once, and what that came to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.load.connection import Connection

Make = Callable[[], bytes | None]
Answer = Callable[[int, bytes], None]


@dataclass
class Figures:
    """Latencies in seconds, answers by status, connections lost. cpu_s: what the gateway used meanwhile."""

    seconds: float = 0
    cpu_s: float = 0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0

    def percentile(self, share: float) -> float:
        """Seconds; share 0..1."""
        ordered = sorted(self.latencies) or [0.0]
        return ordered[int(share * (len(ordered) - 1))]

    def row(self, what: str) -> str:
        times = "  ".join(f"p{100 * share:g} {1000 * self.percentile(share):6.0f} ms" for share in (0.5, 0.99, 1))
        cpu = 1000 * self.cpu_s / max(1, len(self.latencies))
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        lost = f", {self.lost} connections lost" if self.lost else ""
        return f"{what:44} {self.per_second:7.0f}/s  {times}  CPU {cpu:.2f} ms each  {answers}{lost}"


async def ask_at_once(
    host: str, port: int, connections: int, seconds: float, make: Make, tell: Answer
) -> Figures:
    """Ask over `connections` connections, each as fast as it is answered, until the time is over or `make` ends."""
    figures = Figures()
    opened = [await Connection.open(host, port) for _ in range(connections)]
    begun = time.monotonic()

    async def go_on(connection: Connection) -> None:
        while time.monotonic() < begun + seconds and (request := make()) is not None:
            asked = time.monotonic()
            try:
                status, body = await connection.ask(request)
            except ConnectionError:
                figures.lost += 1
                return
            figures.latencies.append(time.monotonic() - asked)
            figures.statuses[status] += 1
            tell(status, body)

    await asyncio.gather(*map(go_on, opened))
    figures.seconds = time.monotonic() - begun
    for connection in opened:
        connection.close()
    return figures
