"""Request bodies within limits: bytes counted as they arrive, JSON without surprises."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.settings import Settings
from schemas.errors import BadRequest, PayloadTooLarge, UnsupportedEncoding

_MAX_INTEGER = 2**63
_LIMIT = "body_limit"


def allow(request: Request, max_bytes: int) -> None:
    """Let this request's body be as large as this. Call before reading it."""
    request.scope[_LIMIT] = max_bytes


class BodyLimit:
    """Ends the reading of a body that is longer than its limit, whatever its Content-Length says."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = _announced(scope)
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            if announced > scope.get(_LIMIT, self._max_bytes):
                raise PayloadTooLarge
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > scope.get(_LIMIT, self._max_bytes):
                raise PayloadTooLarge
            return message

        await self._app(scope, counted, send)


async def read_json(request: Request, settings: Settings) -> Any:
    """The body as JSON types; None when there is no body.

    Raises PayloadTooLarge; UnsupportedEncoding for a compressed body; BadRequest for what is not JSON, has a name
    twice, numbers no double or 64-bit integer holds, half characters, or nests deeper than `max_json_depth`.
    """
    if request.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise UnsupportedEncoding
    body = await request.body()
    return parse_json(body, settings.max_json_depth) if body.strip() else None


def parse_json(body: bytes, max_depth: int) -> Any:
    """JSON types of `body`; BadRequest as in `read_json`."""
    if _depth(body) > max_depth:
        raise BadRequest(f"The JSON of the body is nested deeper than {max_depth}")
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse,
            parse_float=_float,
            parse_int=_integer,
        )
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _Surprise) else "The body is not JSON"
        raise BadRequest(reason) from None
    return value


class _Surprise(ValueError):
    """JSON that programs read differently."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Surprise("The body has an object with the same name twice")
    return found


def _refuse(name: str) -> Any:
    raise _Surprise(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Surprise("The body has a number that is too large")
    return value


def _integer(text: str) -> int:
    value = int(text) if len(text) < 25 else _MAX_INTEGER
    if not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise _Surprise("The body has a number that is too large")
    return value


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


def _depth(body: bytes) -> int:
    """How deep brackets nest outside of strings, found without recursion."""
    deepest = depth = 0
    for bracket in _BRACKETS.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
