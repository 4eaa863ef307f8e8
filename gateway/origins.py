"""Pages of other origins, while no key keeps them out."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.hosts import is_loopback, name_of

_FILES = "/files/"


class OriginGuard:
    """While no key is needed, answers pages of this machine and of the origins that are named, and no others: any page
    its user visits could render here otherwise, and read what others did. `*` names none. Files are for whoever knows
    their address."""

    def __init__(self, app: ASGIApp, needed: Callable[[], bool], named: tuple[str, ...]) -> None:
        self._app = app
        self._needed = needed
        self._named = frozenset(origin.rstrip("/").lower() for origin in named)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guarded = scope["type"] == "http" and not scope["path"].startswith(_FILES)
        if guarded and self._needed() and not self._welcome(Headers(scope=scope)):
            message = "This gateway has no keys and answers only to pages of this machine (GATEWAY_CORS_ORIGINS)"
            response = JSONResponse({"detail": message, "error_type": "origin_refused"}, status_code=403)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _welcome(self, headers: Headers) -> bool:
        origin = headers.get("origin", "").lower()
        if not origin or origin in self._named:
            return True
        try:
            name = urlsplit(origin).hostname or ""
        except ValueError:
            return False
        return is_loopback(name) or name == name_of(headers.get("host", ""))
