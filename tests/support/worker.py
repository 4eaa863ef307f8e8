"""A worker process under the real SDK: started against a platform server, watched, ended with its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.platform import Platform

ROOT = Path(__file__).parents[2]
HANDLER = ("-u", "-m", "handler")
READY_S = 300.0


def clean_environment(home: Path) -> dict[str, str]:
    """Nothing of the caller's but PATH; `home` becomes HOME and gets an empty TMPDIR."""
    temp = home / "tmp"
    temp.mkdir(parents=True, exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(temp),
        # torch makes this folder when it is imported, in TMPDIR unless told otherwise.
        "TORCHINDUCTOR_CACHE_DIR": str(home / ".cache" / "torchinductor"),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def platform_environment(url: str, worker_id: str) -> dict[str, str]:
    """What RunPod sets in a worker, for a platform at `url`."""
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID?gpu=STUB",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$RUNPOD_POD_ID/$ID?gpu=STUB",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{url}/job-stream/$RUNPOD_POD_ID/$ID?gpu=STUB",
        "RUNPOD_WEBHOOK_PING": f"{url}/ping/$RUNPOD_POD_ID?gpu=STUB",
        "RUNPOD_PING_INTERVAL": "2000",
        "RUNPOD_AI_API_KEY": "test",
        "RUNPOD_POD_ID": worker_id,
        "RUNPOD_ENDPOINT_ID": "test",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
    }


def wait_for(ready: Callable[[], object], timeout_s: float, what: str) -> None:
    """Return when `ready()` is true; fail the test when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline:
            pytest.fail(f"Waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(0.01)


@dataclass
class WorkerProcess:
    """One worker. home: its HOME, working directory and log. Its id is the one it takes jobs with."""

    platform: Platform
    home: Path
    worker_id: str
    arguments: Sequence[str] = HANDLER
    environment: Mapping[str, str] = field(default_factory=dict)
    hide: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a session of its own, so that its heartbeat process can be ended with it."""
        environment = clean_environment(self.home) | platform_environment(self.platform.url, self.worker_id)
        environment |= self.environment
        kept = {name: value for name, value in environment.items() if name not in self.hide}
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments],
                cwd=self.home,
                env=kept,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def _log_path(self) -> Path:
        return self.home / "worker.log"

    @property
    def temp(self) -> Path:
        return self.home / "tmp"

    @property
    def pid(self) -> int:
        assert self.process is not None, "The worker was not started."
        return self.process.pid

    def log(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def polls(self) -> int:
        """How often it asked for jobs."""
        takes = self.platform.seen("job-take", self.worker_id)
        return len(takes) + len(self.platform.seen("job-take-batch", self.worker_id))

    def wait_ready(self) -> None:
        """Return at its first request for a job."""
        wait_for(lambda: self.polls() or not self.alive(), READY_S, f"the worker:\n{self.log()}")
        if not self.polls():
            pytest.fail(f"The worker ended before it was ready:\n{self.log()}")

    def exit_code(self, timeout_s: float) -> int:
        assert self.process is not None, "The worker was not started."
        return self.process.wait(timeout_s)

    def children(self) -> list[int]:
        """The other processes of its group."""
        groups = {int(path.name): _group(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
        return [pid for pid, group in groups.items() if group == self.pid and pid != self.pid]

    def end(self) -> None:
        """Kill the whole group."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


def _group(process: Path) -> int | None:
    try:
        stat = (process / "stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[2])


@contextlib.contextmanager
def running(worker: WorkerProcess) -> Iterator[WorkerProcess]:
    """Start `worker`, wait until it asks for jobs, and end it."""
    worker.start()
    try:
        worker.wait_ready()
        yield worker
    finally:
        worker.end()
