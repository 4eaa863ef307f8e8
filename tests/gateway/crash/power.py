"""Power cuts: the store lies on a disk of its own, an ext4 in a file, and what that file holds is all that survives.

A cut: freeze the server, copy the file (what reached the disk), kill, mount the copy, start from it. Needs mounts:
run inside a private mount namespace, `unshare --mount python -m tests.gateway.crash.power CUTS SEED BUG`, which
prints the report as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from tests.gateway.crash.history import History
from tests.gateway.crash.kill import load_until
from tests.gateway.crash.load import Connection, Load, settle
from tests.gateway.crash.process import ROOT, ServerProcess
from tests.gateway.crash.report import Report

DISK_BYTES = 64 * 2**20
SHORTEST_S, LONGEST_S = 0.2, 1.0
RESULTS = 3
"""So many at least come before a cut, however slow the disk is."""

IN_NAMESPACE = ["unshare", "--mount", "--propagation", "private"]


def possible() -> str | None:
    """Why power cuts cannot be simulated here; None if they can."""
    missing = [tool for tool in ("unshare", "mkfs.ext4", "mount") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    with tempfile.TemporaryDirectory() as folder:
        disk = make_disk(Path(folder))
        mount = f"mount -o loop {disk} {folder} && umount {folder}"
        tried = subprocess.run([*IN_NAMESPACE, "sh", "-c", mount], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"no loop mounts: {tried.stderr.strip()}"


def power_cuts(cuts: int, seed: int, bug: str = "none") -> Report:
    """Cut the power `cuts` times, each on a fresh disk."""
    command = [*IN_NAMESPACE, sys.executable, "-m", "tests.gateway.crash.power", str(cuts), str(seed), bug]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return Report(**json.loads(done.stdout.splitlines()[-1]))


def make_disk(folder: Path) -> Path:
    disk = folder / "disk"
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", disk], check=True)
    return disk


@contextlib.contextmanager
def mounted(disk: Path, at: Path) -> Iterator[Path]:
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop", disk, at], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", at], check=True)


async def cut(folder: Path, empty: Path, rng: random.Random, report: Report) -> None:
    """One power cut and the start after it."""
    history, socket = History(), folder / "socket"
    disk, after = folder / "in-use", folder / "after"
    shutil.copyfile(empty, disk)
    with mounted(disk, folder / "mount") as data, ServerProcess(data / "data", socket, report.bug) as server:
        load = Load(socket, history, rng, draws=True)
        await load_until(_cut_power(server, disk, after), load, rng.uniform(SHORTEST_S, LONGEST_S), RESULTS)
    with mounted(after, folder / "mount") as data:
        await _start_again(data / "data", socket, history, report)
    report.crashes += 1
    report.add(history)


def _cut_power(server: ServerProcess, disk: Path, after: Path) -> Callable[[], None]:
    def cut_power() -> None:
        server.stop()
        subprocess.run(["cp", "--sparse=always", disk, after], check=True)
        server.kill()

    return cut_power


async def _start_again(data: Path, socket: Path, history: History, report: Report) -> None:
    try:
        server = ServerProcess(data, socket, report.bug)
    except RuntimeError as error:
        history.breaches.append(str(error))
        return
    report.restarts_s.append(server.start_s)
    with server:
        dump = await settle(socket, history)
        connection = Connection(socket)
        pictures = await connection.ask("pictures")
        await connection.close()
    report.pictures += history.drawn(pictures)
    history.seen(dump)
    history.all_ended(dump)


async def main(cuts: int, seed: int, bug: str) -> Report:
    rng = random.Random(seed)
    report = Report("power cut", bug)
    with tempfile.TemporaryDirectory() as folder:
        empty = make_disk(Path(folder))
        for _ in range(cuts):
            await cut(Path(folder), empty, rng, report)
    return report


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))))
