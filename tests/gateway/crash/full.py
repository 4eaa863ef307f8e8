"""A disk that is really full: what was accepted stays, the rest is refused in clear words, and room brings it back.

    unshare --mount python -m tests.gateway.crash.full
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.gateway.crash.history import History
from tests.gateway.crash.load import Connection, settle
from tests.gateway.crash.power import IN_NAMESPACE, make_disk, mounted
from tests.gateway.crash.process import ROOT, ServerProcess

TEXT = "x" * 50_000
LEFT_BYTES = 3 * 2**20


def full_disk() -> None:
    """Raises AssertionError in a process of its own, shown on stderr, when the store does not keep its word."""
    subprocess.run([*IN_NAMESPACE, sys.executable, "-m", "tests.gateway.crash.full"], cwd=ROOT, check=True)


async def fill_up(connection: Connection, history: History) -> list[str]:
    """Submit until nothing has been accepted any more for a while; the codes of the refusals."""
    refusals: list[str] = []
    while len(refusals) < 20:
        found = await connection.request("submit", "owner", None, TEXT)
        if "error" in found:
            refusals.append(found["error"])
        else:
            history.submitted(found["answer"], None)
            refusals.clear()
    return refusals


async def main() -> None:
    history = History()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with mounted(make_disk(folder), folder / "mount") as disk:
            filler = disk / "filler"
            filler.write_bytes(bytes(shutil.disk_usage(disk).free - LEFT_BYTES))
            await _fill_kill_and_make_room(disk / "data", folder / "socket", filler, history)
    assert history.breaches == []


async def _fill_kill_and_make_room(data: Path, socket: Path, filler: Path, history: History) -> None:
    with ServerProcess(data, socket):
        await _fill_and_make_room(Connection(socket), filler, history)
    with ServerProcess(data, socket):
        dump = await settle(socket, history)
    history.seen(dump)
    history.all_ended(dump)


async def _fill_and_make_room(connection: Connection, filler: Path, history: History) -> None:
    refusals = await fill_up(connection, history)
    assert set(refusals) == {"store_unavailable"}, refusals
    assert len(history.accepted) > 0
    history.seen(await connection.ask("dump"))
    filler.unlink()
    job = await connection.ask("submit", "owner", None, TEXT)
    assert job is not None, "there is room again"
    history.submitted(job, None)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
