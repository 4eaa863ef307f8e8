"""From settings to a serving process, and its end: SIGTERM drains, a second one does not wait."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import socket
from pathlib import Path
from types import FrameType

import uvicorn

from gateway import logs
from gateway.app import create_app
from gateway.gateway import Gateway
from gateway.hosts import is_loopback
from gateway.server import http_protocol
from gateway.settings import Settings
from schemas.errors import FooocusError

log = logging.getLogger(__name__)

_BACKLOG = 2048
_LAST_ANSWERS_S = 5
_DEMO = "the built-in demo model, which knows only drawn shapes: set FOOOCUS_CHECKPOINT for a real one"


class CannotServe(Exception):
    """Why not, in one sentence for the operator."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises CannotServe."""
    logs.configure()
    _check_workers(settings)
    _check_folder(settings.data)
    listener = _listen(settings)
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    try:
        app = create_app(settings)
        gateway: Gateway = app.state.gateway
        asyncio.run(_run(app, gateway, listener))
    except FooocusError as error:
        raise CannotServe(f"The gateway cannot start. {error} ({settings.data})") from None


async def _run(app: object, gateway: Gateway, listener: socket.socket) -> None:
    await gateway.keys.start()
    _check_bind(gateway)
    config = uvicorn.Config(
        app, http=http_protocol(gateway.settings.max_header_bytes), ws="none", log_config=None, access_log=False,
        server_header=False, date_header=True, proxy_headers=False, timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )  # fmt: skip
    _announce(gateway)
    await Server(config, gateway).serve(sockets=[listener])


class Server(uvicorn.Server):
    """Drains before it stops listening: running jobs finish, and their workers can still say so."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._drain: asyncio.Task[None] | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drain is not None or not self.started:
            super().handle_exit(sig, frame)
            return
        self._drain = asyncio.get_running_loop().create_task(self._drained())

    async def _drained(self) -> None:
        gateway = self._gateway
        log.info("Draining: running jobs have %g s to finish; no new ones are taken", gateway.settings.drain_s)
        try:
            gateway.fleet.ask_to_end()
            await gateway.jobs.drain(gateway.settings.drain_s)
            await gateway.jobs.close()
            gateway.fleet.release()
        finally:
            self.should_exit = True


def _announce(gateway: Gateway) -> None:
    settings = gateway.settings
    if settings.workers:
        checkpoint = os.environ.get("FOOOCUS_CHECKPOINT")
        log.info("Workers on this machine render with %s", checkpoint or _DEMO)
    log.info("Serving at http://%s:%d, data in %s", settings.host, settings.port, settings.data.absolute())
    if not gateway.keys.required:
        log.info("There are no keys: whoever is on this machine may use it, nobody else can. `keys add` makes one")


def _check_workers(settings: Settings) -> None:
    missing = [name for name in ("handler", "runpod", "torch") if importlib.util.find_spec(name) is None]
    if settings.workers and missing:
        raise CannotServe(
            f"The worker is not installed here ({', '.join(missing)} missing): install it, or use --workers 0."
        )


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise CannotServe(f"The data folder {folder} cannot be written: {error.strerror}.") from None


def _check_bind(gateway: Gateway) -> None:
    host = gateway.settings.host
    if not is_loopback(host) and not gateway.keys.exist:
        raise CannotServe(
            f"There are no keys, so whoever reaches {host} could use this gateway: make one with "
            "`python -m gateway keys add NAME`, give one with --apikey, or listen on 127.0.0.1."
        )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise CannotServe(
            f"The gateway cannot listen on {settings.host} port {settings.port}: {reason}. Is another one running?"
        ) from None
    return listener
