"""From settings to a serving process, and its end: SIGTERM drains, a second one does not wait."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from dataclasses import dataclass
from types import FrameType

import uvicorn
import uvloop

from gateway import logs
from gateway.app import create_app
from gateway.checks import CannotServe, listen
from gateway.gateway import Gateway
from gateway.hosts import is_loopback
from gateway.server import http_protocol
from gateway.settings import Settings
from gateway.tls import certificate
from schemas.errors import FooocusError

log = logging.getLogger(__name__)

_LAST_ANSWERS_S = 5
_DEMO = "the built-in demo model, which knows only drawn shapes: set FOOOCUS_CHECKPOINT for a real one"


def serve(settings: Settings, listener: socket.socket) -> None:
    """Serve at `listener` until SIGTERM or SIGINT. Raises CannotServe."""
    logs.configure()
    settings = settings.model_copy(update={"port": listener.getsockname()[1]})
    https = _https(settings)
    if https is not None:
        settings = settings.model_copy(update={"tls_port": https.listener.getsockname()[1]})
    try:
        app = create_app(settings)
        gateway: Gateway = app.state.gateway
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(app, gateway, listener, https))
    except FooocusError as error:
        raise CannotServe(f"The gateway cannot start. {' '.join(str(error).split())} ({settings.data}).") from None


async def _run(app: object, gateway: Gateway, listener: socket.socket, https: Https | None) -> None:
    await gateway.keys.start()
    _check_bind(gateway)
    tunnels_to = None if https is None else https.listener.getsockname()[:2]
    config = uvicorn.Config(
        app, http=http_protocol(gateway.settings.max_header_bytes, tunnels_to), ws="none", log_config=None,
        access_log=False, server_header=False, date_header=True, proxy_headers=False,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
    )  # fmt: skip
    _announce(gateway)
    server = Server(config, gateway, https)
    await server.serve(sockets=[listener])
    if not server.started:
        raise CannotServe("The gateway could not start: its log says why.")


@dataclass(frozen=True, slots=True)
class Https:
    """The second listener, and what it identifies itself with."""

    listener: socket.socket
    context: ssl.SSLContext


def _https(settings: Settings) -> Https | None:
    if settings.tls_port is None:
        return None
    try:
        context = certificate(settings).context()
    except (OSError, ValueError) as error:
        raise CannotServe(f"The certificate cannot be used: {error}.") from None
    return Https(listen(settings.model_copy(update={"port": settings.tls_port})), context)


class Server(uvicorn.Server):
    """Drains before it stops listening: running jobs finish, and their workers can still say so."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway, https: Https | None = None) -> None:
        super().__init__(config)
        self._gateway = gateway
        self._https = https
        self._drain: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._https is not None:
            loop, https = asyncio.get_running_loop(), self._https
            server = await loop.create_server(self._protocol, sock=https.listener, ssl=https.context)
            self.servers.append(server)

    def _protocol(self) -> asyncio.Protocol:
        state = self.lifespan.state
        return self.config.http_protocol_class(config=self.config, server_state=self.server_state, app_state=state)

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
    if settings.tls_port is not None:
        log.info("Serving at https://%s:%d too", settings.host, settings.tls_port)
        bundle = certificate(settings).bundle
        if bundle is not None:
            log.info("Its certificate was made here: clients trust it with SSL_CERT_FILE=%s", bundle.absolute())
    if not gateway.keys.required:
        log.info("There are no keys: whoever is on this machine may use it, nobody else can. `keys add` makes one")


def _check_bind(gateway: Gateway) -> None:
    host = gateway.settings.host
    if not is_loopback(host) and not gateway.keys.exist:
        raise CannotServe(
            f"There are no keys, so whoever reaches {host} could use this gateway: make one with "
            "`python -m gateway keys add NAME`, give one with --apikey, or listen on 127.0.0.1."
        )
