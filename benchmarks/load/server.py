"""A gateway process to measure."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.fleet.tokens import WorkerTokens

SECRET = "the secret of a measured gateway"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Server:
    """A gateway without workers of its own, with room for a long queue."""

    process: subprocess.Popen[bytes]
    port: int
    start_s: float

    @property
    def host(self) -> str:
        return f"{HOST}:{self.port}"

    def resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text("ascii").split()[1])
        return pages * resource.getpagesize() / 2**20

    def cpu_s(self) -> float:
        """CPU seconds the gateway has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def worker_token(name: str) -> str:
        return WorkerTokens(SECRET).of(name)


@contextlib.contextmanager
def serving(data: Path) -> Iterator[Server]:
    """A gateway over the folder `data`."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    environment = os.environ | {"GATEWAY_WORKER_SECRET": SECRET, "GATEWAY_MAX_QUEUED": "1000000"}
    command = [sys.executable, "-m", "gateway", "--workers", "0", "--port", str(port), "--data", str(data)]
    begun = time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_serving(process, port)
        yield Server(process, port, time.monotonic() - begun)
    finally:
        process.terminate()
        process.wait()


def _wait_until_serving(process: subprocess.Popen[bytes], port: int) -> None:
    for _ in range(6000):
        if process.poll() is not None:
            raise SystemExit("the gateway did not start")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=60).close()
            return
        time.sleep(0.01)
    raise SystemExit("the gateway does not answer")
