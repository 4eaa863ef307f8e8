"""Requests made for fal's hosts, put on the paths of this gateway. Nothing is ever sent on to anyone.

    Host: queue.fal.run, GET /fal-ai/…                                       ->  /queue/fal-ai/…
    /api/fal/proxy with x-fal-target-url: https://queue.fal.run/fal-ai/…     ->  /queue/fal-ai/…
"""

from __future__ import annotations

import uuid
from urllib.parse import SplitResult, unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.doors.fal.apps import APP
from gateway.doors.fal.errors import REQUEST_ID, refusal
from gateway.doors.fal.roots import BY_NAME, HOSTS, QUEUE, ROOTS
from gateway.hosts import name_of
from schemas.errors import BadRequest

PROXY = "/api/fal/proxy"
TARGET = "x-fal-target-url"


class FalAddresses:
    """ASGI: leads requests for fal's hosts, by Host header or through the proxy's one URL, to the fal door's paths."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] == PROXY:
            await self._proxied(scope, receive, send)
        else:
            await self._app(_by_host(scope), receive, send)

    async def _proxied(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = _target(Headers(scope=scope).get(TARGET, ""))
        if target is None:
            error = BadRequest(f"{TARGET} should be a URL of one of {', '.join(HOSTS)}")
            await refusal(error)(scope, receive, send)
            return
        root = HOSTS[target.hostname or ""]
        await self._app(_moved(scope, root + target.path, target.query.encode()), receive, send)


class FalLabels:
    """ASGI: gives replies of fal's door that name no request an id of their own, whoever made them: Python's client
    takes one without for that of a broken proxy, JavaScript's shows it as `requestId`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_fals = scope["type"] == "http" and (scope["path"] == PROXY or _is_fals(_by_host(scope)["path"]))
        await self._app(scope, receive, _labelled(send) if is_fals else send)


def _labelled(send: Send) -> Send:
    async def send_labelled(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault(REQUEST_ID, str(uuid.uuid4()))
        await send(message)

    return send_labelled


def _is_fals(path: str) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in ROOTS)


def _target(url: str) -> SplitResult | None:
    """The URL a client of fal's proxy wants; None when it is not one of fal's."""
    try:
        target = urlsplit(url)
        port = target.port
    except ValueError:
        return None
    plain = target.scheme == "https" and port in (None, 443) and "@" not in target.netloc and url.isascii()
    return target if plain and target.hostname in HOSTS else None


def _by_host(scope: Scope) -> Scope:
    name = name_of(Headers(scope=scope).get("host", ""))
    path = scope.get("raw_path", b"").decode("latin-1") or scope["path"]
    query = scope["query_string"]
    if name in HOSTS:
        return {**_moved(scope, HOSTS[name] + path, query), BY_NAME: True}
    # Clients before 0.11 put "queue." before the host they were given.
    if name.startswith("queue.") and scope["path"].startswith(f"/{APP}"):
        return _moved(scope, QUEUE + path, query)
    return scope


def _moved(scope: Scope, raw_path: str, query: bytes) -> Scope:
    raw = raw_path.encode("latin-1", "replace")
    return {**scope, "path": unquote(raw_path), "raw_path": raw, "query_string": query}
