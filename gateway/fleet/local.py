"""Worker processes on this machine: started, restarted, ended with everything they started."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from gateway.fleet import keeper
from gateway.fleet.environment import worker_environment
from gateway.fleet.tokens import WorkerTokens
from gateway.fleet.workers import Worker, Workers
from gateway.settings import Settings
from gateway.urls import own_url

log = logging.getLogger(__name__)

COMMAND: Sequence[str] = (sys.executable, "-u", "-m", "handler")
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
MAX_LOG = 16 * 2**20
"""Bytes of a worker's log that are kept, and as many of what came before."""

LOOK_S = 5.0
"""How often the logs' sizes are looked at."""

STABLE_S = 60.0
"""A worker that lived this long is started again without a pause."""


def local_name(number: int) -> str:
    """What the worker of a slot is called, of each of its processes the same."""
    return f"local-{number}"


class LocalWorkers:
    """Keeps `settings.workers` processes running. lost: told of each one that ended."""

    def __init__(
        self,
        settings: Settings,
        workers: Workers,
        tokens: WorkerTokens,
        lost: Callable[[Worker], Awaitable[None]],
    ) -> None:
        self._settings = settings
        self._workers = workers
        self._tokens = tokens
        self._lost = lost
        self._command = settings.worker_command or COMMAND
        self._logs = settings.data / "logs"
        self._ending = asyncio.Event()
        self._killing = False
        self._processes: dict[Worker, asyncio.subprocess.Process] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._bounding: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start all; returns at once."""
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._tasks = [asyncio.create_task(self._keep(number)) for number in range(1, self._settings.workers + 1)]
        self._bounding = asyncio.create_task(self._bound_logs())

    def replace(self, worker: Worker) -> None:
        """Have a worker end after what it runs; another takes its place."""
        if worker in self._processes:
            self._ask(worker)

    def ask_to_end(self) -> None:
        """Have all end after what they run, for good."""
        self._ending.set()
        for worker in self._processes:
            self._ask(worker)

    async def kill(self) -> None:
        """End all now, with all their processes; return when none is left."""
        self._ending.set()
        self._killing = True
        for process in self._processes.values():
            process.stdin.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._bounding is not None:
            self._bounding.cancel()
            await asyncio.gather(self._bounding, return_exceptions=True)

    def _ask(self, worker: Worker) -> None:
        worker.leaving.set()
        with contextlib.suppress(ProcessLookupError):
            self._processes[worker].send_signal(signal.SIGTERM)

    async def _keep(self, number: int) -> None:
        pause = FIRST_PAUSE_S
        while not self._ending.is_set():
            started = time.monotonic()
            worker = self._workers.add_local(local_name(number))
            try:
                end = await self._run(worker, self._log_path(number))
            except OSError as error:
                end = f"it cannot be started: {error.strerror}"
            await self._lost(worker)
            if self._ending.is_set():
                return
            lived = worker.leaving.is_set() or time.monotonic() - started > STABLE_S
            pause = FIRST_PAUSE_S if lived else min(pause * 2, LONGEST_PAUSE_S)
            worker.trouble = end
            log.error("A worker ended; the next try is in %.1f s: %s", pause, end, extra={"worker": worker.name})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), pause)

    async def _run(self, worker: Worker, path: Path) -> str:
        """From start to end of one process; how it ended. Raises OSError when it cannot be started."""
        with path.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", str(keeper.__file__), *self._command,
                stdin=asyncio.subprocess.PIPE, stdout=output, stderr=output, env=self._environment(worker),
                start_new_session=True,
            )  # fmt: skip
        self._processes[worker] = process
        if self._killing:
            process.stdin.close()
        log.info("A worker starts; it logs to %s", path, extra={"worker": worker.name})
        try:
            return f"it ended with code {await process.wait()}: {_last_line(path)}"
        finally:
            del self._processes[worker]

    async def _bound_logs(self) -> None:
        while True:
            for number in range(1, self._settings.workers + 1):
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(_make_room, self._log_path(number))
            await asyncio.sleep(LOOK_S)

    def _environment(self, worker: Worker) -> dict[str, str]:
        """What this process has, apart from the gateway's own settings; the operator's FOOOCUS_* win over ours."""
        passed = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
        ours = worker_environment(own_url(self._settings), worker.name, self._tokens.of(worker.name))
        needed = {name: value for name, value in ours.items() if not name.startswith("FOOOCUS_")}
        return ours | passed | needed | {"FOOOCUS_UPLOAD_ORIGIN": ours["FOOOCUS_UPLOAD_ORIGIN"]}

    def _log_path(self, number: int) -> Path:
        return self._logs / f"worker-{number}.log"


def _make_room(path: Path) -> None:
    """Set the end of a long log aside and empty it; one old one is kept. Its worker goes on writing: it appends."""
    if not path.exists() or path.stat().st_size <= MAX_LOG:
        return
    try:
        with path.open("rb") as file:
            file.seek(-MAX_LOG, os.SEEK_END)
            path.with_suffix(".old.log").write_bytes(file.read(MAX_LOG))
    finally:
        os.truncate(path, 0)


def _last_line(path: Path) -> str:
    """The last line of a log, shortened."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4096))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip()[-300:] for line in reversed(lines) if line.strip()), "(none)")
