"""Server-sent events: one JSON per event, comments that keep an idle connection open."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import anyio
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from gateway.doors.fal.errors import REQUEST_ID

T = TypeVar("T")

HEARTBEAT_S = 15.0
KEEP_ALIVE = b": keep-alive\n\n"
_END: Any = object()


class BrokenOff(Exception):
    """Raised by a stream of events that ends badly: the connection is cut, as the status line is long gone."""


def event(data: Any) -> bytes:
    """https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream"""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


class EventStream(StreamingResponse):
    """Sends what `events` yields; no proxy holds it back or keeps it. `at_end` is awaited however it ends."""

    def __init__(
        self,
        events: AsyncGenerator[bytes, None],
        request_id: str,
        at_end: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no", REQUEST_ID: request_id}
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self._events = events
        self._at_end = at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await self._events.aclose()
                if self._at_end is not None:
                    await self._at_end()

    async def stream_response(self, send: Send) -> None:
        # Without the closing message the server cuts the connection, which clients report as an error.
        with contextlib.suppress(BrokenOff):
            await super().stream_response(send)


async def paced(source: AsyncIterator[T], every_s: float) -> AsyncGenerator[T | None, None]:
    """The items of `source`; None whenever `every_s` seconds went by without one. Closes `source` at its end."""
    following = asyncio.ensure_future(anext(source, _END))
    try:
        while True:
            done, _ = await asyncio.wait((following,), timeout=every_s)
            if not done:
                yield None
                continue
            item = following.result()
            if item is _END:
                return
            yield item
            following = asyncio.ensure_future(anext(source, _END))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if isinstance(source, AsyncGenerator):
            await source.aclose()
