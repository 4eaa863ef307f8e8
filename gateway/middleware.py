"""What happens around every request: an id, one log line, a look at the Host header, and a last catch."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.hosts import is_canonical, is_loopback, name_of
from gateway.logs import request_id
from schemas.errors import InternalError

log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestLog:
    """Gives each request an id (its own `x-request-id`, if sane), and logs its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = request_id.set(_request_id(scope))
        scope.setdefault("state", {})["request_id"] = request_id.get()
        started, status = time.perf_counter(), 0

        async def labelled(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).setdefault("x-request-id", request_id.get())
            await send(message)

        try:
            await self._app(scope, receive, labelled)
        finally:
            _log_end(scope, status, time.perf_counter() - started)
            request_id.reset(token)


class LastCatch:
    """Turns what nobody caught into 500 without saying more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            if scope["type"] != "http":
                raise
            log.exception("A request crashed")
            if not begun:
                await _crash(scope, receive, send)


class HostGuard:
    """While no key is needed, answers only to names that lead here: a page of a foreign name that was pointed at this
    machine (DNS rebinding) gets nothing."""

    def __init__(self, app: ASGIApp, needed: Callable[[], bool], allowed: frozenset[str]) -> None:
        self._app = app
        self._needed = needed
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and self._needed() and not self._known(scope):
            message = "This gateway has no keys and answers only to names of this machine (GATEWAY_ALLOWED_HOSTS)"
            response = JSONResponse({"detail": message, "error_type": "misdirected_request"}, status_code=421)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        name = name_of(Headers(scope=scope).get("host", ""))
        return is_loopback(name) or is_canonical(name) or name in self._allowed


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _ID.fullmatch(given) else str(uuid.uuid4())


async def _crash(scope: Scope, receive: Receive, send: Send) -> None:
    error = InternalError("Something went wrong in the gateway")
    await JSONResponse({"detail": error.detail, "error_type": error.code}, status_code=500)(scope, receive, send)


def _log_end(scope: Scope, status: int, seconds: float) -> None:
    """Reading, which clients do all the time, is said only to those who debug."""
    level = logging.DEBUG if scope["method"] in ("GET", "HEAD", "OPTIONS") and status < 400 else logging.INFO
    if not log.isEnabledFor(level):
        return
    route = getattr(scope.get("route"), "path", "")
    extra = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1)}
    log.log(level, "%s %s %s", scope["method"], route or "(no route)", status, extra=extra)
