"""kill -9 under load: the same store goes through many crashes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

from tests.gateway.crash.history import History
from tests.gateway.crash.load import Connection, Load, settle
from tests.gateway.crash.process import ServerProcess
from tests.gateway.crash.report import Report

LONGEST_S = 0.6
"""The longest a server lives under load before it is killed."""

MOST_CRASHES = 100
"""After so many it is given up that enough happens between them."""


async def kill_9(
    folder: Path,
    crashes: int,
    seed: int,
    bug: str = "none",
    *,
    longest_s: float = LONGEST_S,
    until_breached: bool = False,
    accepted: int = 0,
    results: int = 0,
) -> Report:
    """Kill the server `crashes` times at random points; check after each start, and that all jobs end at last.

    until_breached: be content with the first breach, for servers with a planted bug. accepted, results: kill it more
    often until there were so many jobs and results, on a machine where little happens in so short lives.
    """
    rng, socket = random.Random(seed), folder / "socket"
    report, history = Report("kill -9", bug), History()
    load = Load(socket, history, rng)

    def goes_on() -> bool:
        few = len(history.accepted) < accepted or history.results() < results
        return report.crashes < (MOST_CRASHES if few else crashes) and not (until_breached and history.breaches)

    while goes_on():
        with await _start(folder, bug, report) as server:
            await check(socket, history)
            await load_until(server.kill, load, rng.random() * longest_s)
        report.crashes += 1
    with await _start(folder, bug, report):
        dump = await settle(socket, history)
    history.seen(dump)
    history.all_ended(dump)
    report.add(history)
    return report


async def check(socket: Path, history: History) -> None:
    """Compare the store as it came up with what was told before."""
    connection = Connection(socket)
    history.seen(await connection.ask("dump"))
    await connection.close()


async def load_until(end: Callable[[], None], load: Load, seconds: float, results: int = 0) -> None:
    """Put the server under load, and some time after that many results call `end`, which ends it."""
    running = asyncio.create_task(load.run())
    await load.until_finished(results)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(end)
    await asyncio.wait_for(running, 120)


async def _start(folder: Path, bug: str, report: Report) -> ServerProcess:
    server = await asyncio.to_thread(ServerProcess, folder / "data", folder / "socket", bug)
    report.restarts_s.append(server.start_s)
    return server
