"""Reads the checkpoint's files while the worker imports, so that loading them finds them in the page cache.

Imports wait for the processor and reads wait for the disk or the network volume: together they take as long as the
longer of the two. Nothing here can fail a start: what cannot be read ahead is read, and blamed, when it is loaded.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handler.engine.weight_files import NETWORKS, folder_files
from handler.models_folders import model_folders
from handler.settings import Settings
from schemas.errors import FooocusError

CHUNK_BYTES = 16 * 2**20
SHARE = 0.5
"""Of the memory that is available: pages beyond it would push the first ones out before they are used."""

MEMORY = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


@dataclass
class ReadAhead:
    """Reads files to the end, one after the other. limit: bytes in all. read_bytes: those read until now."""

    files: Sequence[Path]
    limit: int
    read_bytes: int = 0

    def start(self) -> threading.Thread:
        """Read in a thread that holds up no end of the process."""
        thread = threading.Thread(target=self.run, name="read-ahead", daemon=True)
        thread.start()
        return thread

    def run(self) -> None:
        """Read in this thread; stop at the first file that cannot be read."""
        with contextlib.suppress(OSError, MemoryError):
            space = memoryview(bytearray(CHUNK_BYTES))
            for file in self.files:
                self._read(file, space)

    def _read(self, path: Path, space: memoryview) -> None:
        with path.open("rb", buffering=0) as file:
            while self.read_bytes < self.limit and (count := file.readinto(space[: self.limit - self.read_bytes])):
                self.read_bytes += count


def begin() -> ReadAhead:
    """Begin to read what the settings name; nothing if they name no complete checkpoint."""
    ahead = ReadAhead(_files(), int(SHARE * available_bytes()))
    ahead.start()
    return ahead


def _files() -> list[Path]:
    # Wrong settings and missing files are told of by what needs them.
    with contextlib.suppress(FooocusError, ValueError, OSError):
        checkpoint, _ = model_folders(Settings())
        return folder_files(checkpoint, NETWORKS) if checkpoint.is_dir() else [checkpoint]
    return []


def available_bytes(memory: Path = MEMORY, cgroup: Path = CGROUP) -> int:
    """Memory that can be had: the machine's, or less where a container (cgroup v2) is bounded; 0 if nobody knows."""
    try:
        rows = dict(line.split(":", 1) for line in memory.read_text().splitlines())
        machine = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0
    with contextlib.suppress(OSError, ValueError):
        bound = int((cgroup / "memory.max").read_text()) - int((cgroup / "memory.current").read_text())
        return max(0, min(machine, bound + _droppable_bytes(cgroup)))
    return machine


def _droppable_bytes(cgroup: Path) -> int:
    """What of a container's memory holds files that were read once: it counts as used, and is given up when asked."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        rows = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        return int(rows["inactive_file"])
    return 0
