"""A gateway process of its own for tests: started on a free port over a data folder, asked over HTTP, ended.

    gateway = GatewayProcess(tmp_path)
    with serving_gateway(gateway): httpx2.get(gateway.url + "/healthz")

`echo_worker` and `render_worker` join workers to it under the real SDK.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.fleet.environment import worker_environment
from gateway.fleet.tokens import WorkerTokens
from tests.support.ports import HeldPort
from tests.support.worker import HANDLER, clean_environment, wait_for

WORKER_SECRET = "a secret for the workers of tests"
ECHO = ("-u", "-m", "tests.support.echo_worker")
START_S = 300.0
WARM_S = 300.0
AT_ONCE = {"FOOOCUS_CONCURRENCY": "2"}
"""For workers of tests whose jobs come one after the other: the SDK looks for the next job at once, where it lets a
second pass when a worker takes one at a time."""
_SERVING = re.compile(r"Serving at (http://[^,]+),")


@dataclass
class GatewayProcess:
    """One gateway. home: its HOME, working directory and log, with the data folder `data` below it.

    arguments: of `python -m gateway`, after `--workers 0` and a free port. environment: beside a clean one. A second
    `start` after its end serves the same data at the same port, which nobody else gets meanwhile.
    """

    home: Path
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    process: subprocess.Popen[bytes] | None = None
    held: HeldPort = field(default_factory=HeldPort)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def port(self) -> int:
        return self.held.number

    def start(self) -> None:
        """Return when it answers."""
        self.home.mkdir(parents=True, exist_ok=True)
        command = ["--data", str(self.data), "--port", str(self.port), "--workers", "0", *self.arguments]
        environment = clean_environment(self.home) | {"GATEWAY_WORKER_SECRET": WORKER_SECRET, **self.environment}
        # Compiled once for all the gateways of a test run.
        del environment["PYTHONDONTWRITEBYTECODE"]
        before = len(self.log())
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gateway", *command],
                cwd=self.home, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        wait_for(lambda: self._serving(before) or not self.alive(), START_S, "the gateway")
        assert self.alive(), self.log()
        wait_for(self._answers, START_S, f"an answer of the gateway:\n{self.log()}")

    def _serving(self, before: int) -> bool:
        found = _SERVING.search(self.log()[before:])
        self.url = found[1] if found else self.url
        return found is not None

    def _answers(self) -> bool:
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    @property
    def _log_path(self) -> Path:
        return self.home / "gateway.log"

    def log(self) -> str:
        return self._log_path.read_text("utf-8", "replace") if self._log_path.exists() else ""

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None, "The gateway was not started."
        return self.process.pid

    def kill(self) -> None:
        """As a crash ends it."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def terminate(self) -> None:
        """Ask it to end after what runs."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout_s: float = 60) -> int:
        assert self.process is not None, "The gateway was not started."
        return self.process.wait(timeout_s)

    def end(self) -> None:
        if self.alive():
            self.kill()
        self.held.release()

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, Any]:
        """(status, JSON or text) of a GET."""
        return self.request("GET", path, headers=headers)

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """(status, JSON or text); `body` goes as JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, dict(headers or {}), method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, _read(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _read(error)

    def workers(self) -> Mapping[str, int]:
        """How many workers are doing what."""
        return self.get("/readyz")[1]["workers"]


def _read(response: Any) -> Any:
    text = response.read().decode("utf-8", "replace")
    is_json = response.headers.get_content_type() == "application/json"
    return json.loads(text) if is_json else text


@contextlib.contextmanager
def serving_gateway(gateway: GatewayProcess) -> Iterator[GatewayProcess]:
    """Start it, and end it at the end."""
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.end()


@dataclass
class RemoteWorker:
    """A worker that was started by hand with the variables of `python -m gateway worker-env`."""

    gateway: GatewayProcess
    home: Path
    name: str
    arguments: Sequence[str] = HANDLER
    environment: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        token = WorkerTokens(WORKER_SECRET).of(self.name)
        environment = clean_environment(self.home) | worker_environment(self.gateway.url, self.name, token)
        with (self.home / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments], cwd=self.home, env=environment | dict(self.environment),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self.process is not None, "The worker was not started."
        return self.process.pid

    def log(self) -> str:
        return (self.home / "worker.log").read_text("utf-8", "replace")

    def kill(self) -> None:
        """The main process alone, as a crash does; its heartbeat process lives on."""
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


@contextlib.contextmanager
def joined(*workers: RemoteWorker) -> Iterator[None]:
    """Start workers, wait until all of them ask for jobs, and end them."""
    gateway = workers[0].gateway
    here = _working(gateway)
    try:
        for worker in workers:
            worker.start()
        wait_for(lambda: _working(gateway) >= here + len(workers), WARM_S, "the workers")
        yield
    finally:
        for worker in workers:
            worker.end()


def _working(gateway: GatewayProcess) -> int:
    states = gateway.workers()
    return states["idle"] + states["running"]


def echo_worker(gateway: GatewayProcess, home: Path, name: str = "echo-1") -> RemoteWorker:
    """A worker without pictures, ready in two seconds. See tests/support/echo_worker.py for its jobs."""
    return RemoteWorker(gateway, home, name, ECHO)


def render_worker(gateway: GatewayProcess, home: Path, name: str = "demo-1") -> RemoteWorker:
    """The real worker on the demo model."""
    return RemoteWorker(gateway, home, name, environment=AT_ONCE)


def until(ready: Any, timeout_s: float = 60.0, pause_s: float = 0.02) -> Any:
    """What `ready()` gives once it is true; AssertionError when the time is over."""
    deadline = time.monotonic() + timeout_s
    while not (value := ready()):
        assert time.monotonic() < deadline, f"Waited {timeout_s:.0f} s in vain"
        time.sleep(pause_s)
    return value


@contextlib.contextmanager
def with_worker(home: Path, environment: Mapping[str, str]) -> Iterator[GatewayProcess]:
    """A gateway with a warm worker of its own; both are ended in order."""
    process = GatewayProcess(home, ("--workers", "1"), environment)
    with serving_gateway(process):
        until(lambda: process.workers()["idle"], WARM_S)
        yield process
        process.terminate()
        process.wait()


@contextlib.contextmanager
def in_front_of(
    gateway: GatewayProcess, home: Path, more: Mapping[str, str] | None = None
) -> Iterator[GatewayProcess]:
    """A ready gateway whose jobs go to a RunPod endpoint, which `gateway` plays. more: of its environment."""
    environment = {"GATEWAY_RUNPOD_API_KEY": "any", "GATEWAY_RUNPOD_BASE_URL": f"{gateway.url}/runpod/v2"}
    arguments = ("--fleet", "runpod", "--runpod-endpoint", "fooocus")
    with serving_gateway(GatewayProcess(home, arguments, environment | dict(more or {}))) as process:
        until(lambda: process.get("/readyz")[0] == 200)
        yield process
