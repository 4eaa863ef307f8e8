"""Memory over many jobs: each is submitted, handed out, reported on, finished and asked for, all over HTTP."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.load.connection import Connection, request
from benchmarks.load.server import HOST, Server, serving

AT_ONCE = 32
MOST_MB = 1.0
"""What the gateway may grow by over 1,000 jobs once it is warm."""
WARM = 3
"""Points of a soak that count as warming up."""

APP = "/queue/fal-ai/fooocus"
WORKER = "/worker/v2/fooocus"
STEP = {
    "status": "IN_PROGRESS",
    "output": {
        "image": 0, "images": 1, "step": 1, "steps": 30, "progress": 0.03,
        "preview": "data:image/jpeg;base64," + "x" * 20_000,
    },
}  # fmt: skip
DONE = {"output": {"images": [{"url": "https://example.com/" + "x" * 100}], "has_nsfw_concepts": [False]}}


@dataclass(frozen=True)
class Life:
    """One client and one worker, each with a connection of its own."""

    server: Server
    client: Connection
    worker: Connection
    name: str

    @classmethod
    async def open(cls, server: Server, name: str) -> Life:
        return cls(server, await Connection.open(HOST, server.port), await Connection.open(HOST, server.port), name)

    def close(self) -> None:
        self.client.close()
        self.worker.close()

    async def one(self, number: int) -> None:
        """A job is submitted, and one, which may be another's, goes from the hand-out to its result."""
        await self._ask("POST", APP, {"prompt": f"{number} " + "x" * 600})
        lease = (await self._work("GET", f"job-take/{self.name}"))["id"]
        await self._work("POST", f"job-done/{self.name}/{lease}", STEP)
        await self._work("POST", f"job-done/{self.name}/{lease}", DONE)
        url = f"{APP}/requests/{lease.rpartition('-a')[0]}"
        await self._ask("GET", f"{url}/status?logs=1")
        await self._ask("GET", url)

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        return await _ask(self.client, request(method, path, self.server.host, _json(body)))

    async def _work(self, method: str, operation: str, body: Any = None) -> Any:
        token = f"Authorization: {self.server.worker_token(self.name)}\r\n"
        asked = request(method, f"{WORKER}/{operation}", self.server.host, _json(body), token)
        return await _ask(self.worker, asked)


def _json(body: Any) -> bytes:
    return b"" if body is None else json.dumps(body).encode()


async def _ask(connection: Connection, asked: bytes) -> Any:
    status, body = await connection.ask(asked)
    if status != 200:
        raise SystemExit(f"the gateway answered {status} to {asked[:80]!r}: {body[:200]!r}")
    return json.loads(body)


async def soak(total: int, tell: Callable[[int, float], None]) -> None:
    """Run `total` jobs through a gateway; `tell(jobs so far, its resident MB)` ten times."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, serving(Path(folder)) as server:
        numbers = count(1)
        lives = [await Life.open(server, f"w{number}") for number in range(AT_ONCE)]

        async def go_on(life: Life) -> None:
            for number in _until(numbers, total):
                await life.one(number)
                if number % max(1, total // 10) == 0:
                    tell(number, server.resident_mb())

        await asyncio.gather(*map(go_on, lives))
        for life in lives:
            life.close()


def _until(numbers: Iterator[int], last: int) -> Iterator[int]:
    while (number := next(numbers)) <= last:
        yield number


def slope(points: list[tuple[int, float]]) -> float:
    """MB per 1,000 jobs: the least-squares line through (jobs, MB)."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return 1000 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
