"""The processes of a gateway's own workers, found by the log each writes to."""

from __future__ import annotations

from pathlib import Path


def processes(data: Path) -> dict[int, str]:
    """Living processes that were started for workers over this data folder, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            logs = str((entry / "fd" / "1").readlink())
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if logs.startswith(str(data)):
            found[int(entry.name)] = command
    return found


def main_process(data: Path, number: int) -> int | None:
    """The worker's own process, not its keeper, nor its heartbeat; None while there is none."""
    log = data / "logs" / f"worker-{number}.log"
    return min((pid for pid, command in processes(log).items() if "keeper" not in command), default=None)
