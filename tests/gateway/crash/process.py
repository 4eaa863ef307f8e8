"""The server as a process that can be stopped and killed."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _answers(path: Path) -> bool:
    """The file of a socket is there a moment before anyone listens at it."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


class ServerProcess:
    """One run of `tests.gateway.crash.server`, up when constructed, killed on leaving. start_s: how long it took."""

    def __init__(self, data: Path, at: Path, bug: str = "none") -> None:
        at.unlink(missing_ok=True)
        begun = time.monotonic()
        command = [sys.executable, "-m", "tests.gateway.crash.server", str(data), str(at), bug]
        self._process = subprocess.Popen(command, cwd=ROOT)
        while not _answers(at):
            if self._process.poll() is not None or time.monotonic() > begun + 60:
                self.kill()
                raise RuntimeError(f"the server did not start: exit status {self._process.returncode}")
            time.sleep(0.005)
        self.start_s = time.monotonic() - begun

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def stop(self) -> None:
        """Freeze it where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
