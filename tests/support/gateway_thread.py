"""A gateway in a thread of the test, behind a real port: its parts can be asked directly.

    with threaded_gateway(tmp_path / "data") as served:
        job = served.run(served.gateway.submit(OWNER, new_job()))
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from gateway.app import create_app
from gateway.fleet.environment import worker_environment
from gateway.gateway import Gateway
from gateway.jobs.model import Job, NewJob
from gateway.keys.key import Principal
from gateway.server import http_protocol
from gateway.settings import Settings
from tests.support.gateway import WORKER_SECRET

T = TypeVar("T")

OWNER = Principal("local", 0, 0)


@dataclass
class ServedGateway:
    """A gateway that serves, its loop in another thread."""

    gateway: Gateway
    loop: asyncio.AbstractEventLoop
    url: str

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float = 60) -> T:
        """The result of `work`, done in the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_s)

    def submit(self, input: dict[str, Any], **more: Any) -> Job:
        return self.run(self.gateway.submit(OWNER, new_job(input, **more)))

    def wait(self, job: Job, timeout_s: float = 60) -> Job:
        """The job once it has ended, or as it is when the time is over."""
        return self.run(self.gateway.jobs.wait(job.id, timeout_s), timeout_s + 5)

    def environment(self, worker: str) -> dict[str, str]:
        """What a worker of this name needs."""
        return worker_environment(self.url, worker, self.gateway.fleet.tokens.of(worker))


def new_job(input: dict[str, Any], **more: Any) -> NewJob:
    return NewJob(owner="local", door="test", app="test", input=input, **more)


@contextlib.contextmanager
def threaded_gateway(data: Path, **settings: Any) -> Iterator[ServedGateway]:
    """Serve a gateway without workers of its own, unless `settings` says otherwise."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    values = {"data": data, "port": port, "workers": 0, "worker_secret": WORKER_SECRET, **settings}
    app = create_app(Settings(**values))
    config = uvicorn.Config(
        app, http=http_protocol(app.state.gateway.settings.max_header_bytes), loop="asyncio", log_config=None,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve([listener])), daemon=True)
    thread.start()
    try:
        served = ServedGateway(app.state.gateway, loop, f"http://127.0.0.1:{port}")
        while not server.started:
            assert thread.is_alive(), "The gateway did not start."
            thread.join(0.01)
        yield served
    finally:
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(app.state.gateway.jobs.close(), loop).result(5)
        loop.call_soon_threadsafe(app.state.gateway.fleet.release)
        server.should_exit = True
        thread.join()
        loop.close()
