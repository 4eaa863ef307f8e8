"""The server as a process that can be stopped and killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]


class ServerProcess:
    """One run of `tests.gateway.crash.server`, up when constructed. start_s: how long that took."""

    def __init__(self, data: Path, socket: Path, bug: str = "none") -> None:
        socket.unlink(missing_ok=True)
        begun = time.monotonic()
        command = [sys.executable, "-m", "tests.gateway.crash.server", str(data), str(socket), bug]
        self._process = subprocess.Popen(command, cwd=ROOT)
        while not socket.exists():
            if self._process.poll() is not None or time.monotonic() > begun + 60:
                self.kill()
                raise RuntimeError(f"the server did not start: exit status {self._process.returncode}")
            time.sleep(0.005)
        self.start_s = time.monotonic() - begun

    def stop(self) -> None:
        """Freeze it where it is."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
