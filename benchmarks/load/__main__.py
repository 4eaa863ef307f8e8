"""`python -m benchmarks.load [--seconds 10] [--backlog 100000] [--jobs 100000]` prints a table.

Over HTTP through fal's door, generator and gateway on one machine: durable submits from 64 connections, status polls
from 1,000; submits without HTTP, which make a backlog; the start on it, then the same behind it, and hand-outs to a
worker. Then memory over many jobs, over HTTP too: growth above 1 MB per 1,000 jobs is a failure. One fsync of the same
disk is told beside, because submits wait for it; CPU is the gateway's own, which says more than the rate where a
machine is shared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load.connection import request
from benchmarks.load.fill import fill
from benchmarks.load.measure import Answer, Figures, Make, ask_at_once
from benchmarks.load.server import HOST, Server, serving
from benchmarks.load.soak import MOST_MB, WARM, slope, soak

SUBMITTERS, POLLERS, HANDOUTS = 64, 1000, 200
FOR_EVER = 24 * 3600.0
APP = "/queue/fal-ai/fooocus"
BODY = json.dumps({"prompt": "a lighthouse at dusk, " + "detailed, " * 30, "seed": 1}).encode()


class Run:
    """One gateway under measurement, and the ids it gave."""

    def __init__(self, server: Server, seconds: float, ids: Sequence[str] = ()) -> None:
        self._server = server
        self._seconds = seconds
        self.ids = list(ids)

    async def submit(self) -> Figures:
        submit = request("POST", APP, self._server.host, BODY)

        def tell(status: int, body: bytes) -> None:
            if status == 200:
                self.ids.append(json.loads(body)["request_id"])

        return await self._measure(SUBMITTERS, self._seconds, lambda: submit, tell)

    async def poll(self) -> Figures:
        def make() -> bytes:
            return request("GET", f"{APP}/requests/{random.choice(self.ids)}/status", self._server.host)

        return await self._measure(POLLERS, self._seconds, make)

    async def hand_out(self) -> Figures:
        """One worker takes one job after another."""
        token = f"Authorization: {self._server.worker_token('w')}\r\n"
        take = request("GET", "/worker/v2/fooocus/job-take/w", self._server.host, headers=token)
        left = iter([take] * HANDOUTS)
        return await self._measure(1, FOR_EVER, lambda: next(left, None))

    async def _measure(
        self, connections: int, seconds: float, make: Make, tell: Answer = lambda status, body: None
    ) -> Figures:
        before = self._server.cpu_s()
        figures = await ask_at_once(HOST, self._server.port, connections, seconds, make, tell)
        figures.cpu_s = self._server.cpu_s() - before
        return figures


def fsync_ms(folder: Path, times: int = 100) -> float:
    """Median time of appending 4 KB and syncing."""
    taken = []
    with (folder / "probe").open("wb") as file:
        for _ in range(times):
            begun = time.monotonic()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(time.monotonic() - begun)
    return 1000 * sorted(taken)[times // 2]


async def over_http(data: Path, seconds: float, backlog: int) -> None:
    with serving(data) as server:
        _state(server, "start on an empty folder")
        run = Run(server, seconds)
        print((await run.submit()).row(f"submit, {SUBMITTERS} connections, queue empty at first"))
        print((await run.poll()).row(f"status, {POLLERS} connections"), flush=True)
    ids, taken, cpu = await fill(data, run.ids[0], backlog)
    rate, each = len(ids) / taken, 1000 * cpu / max(1, len(ids))
    print(f"{'submit, 256 at once, without HTTP':44} {rate:7.0f}/s  CPU {each:.2f} ms each", flush=True)
    with serving(data) as server:
        _state(server, f"start on {backlog} waiting jobs")
        run = Run(server, seconds, ids)
        print((await run.submit()).row(f"submit, {SUBMITTERS} connections, behind the backlog"))
        print((await run.poll()).row(f"status, {POLLERS} connections, behind the backlog"))
        print((await run.hand_out()).row("hand-out, one worker, behind the backlog"), flush=True)


def _state(server: Server, what: str) -> None:
    used, memory = server.cpu_s(), server.resident_mb()
    print(f"{what:44} {server.start_s:7.2f} s   CPU {used:.2f} s   resident {memory:.0f} MB", flush=True)


def memory(jobs: int) -> bool:
    """Whether memory stayed flat."""
    points: list[tuple[int, float]] = []
    asyncio.run(soak(jobs, lambda done, mb: points.append((done, mb))))
    steps = ", ".join(f"{mb:.0f}" for _, mb in points)
    print(f"memory over {jobs} jobs, MB at each tenth: {steps}")
    growth = slope(points[WARM:])
    print(f"growth after the first tenths: {growth:+.3f} MB per 1,000 jobs, at most {MOST_MB:g}", flush=True)
    return growth <= MOST_MB


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement")
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=100_000, help="of the memory measurement, 20000 or more; 0: none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        print(f"{'one fsync of this disk':44} {fsync_ms(Path(name)):7.1f} ms", flush=True)
        asyncio.run(over_http(Path(name) / "data", options.seconds, options.backlog))
    return 0 if not options.jobs or memory(options.jobs) else 1


if __name__ == "__main__":
    sys.exit(main())
