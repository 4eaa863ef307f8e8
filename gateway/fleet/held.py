"""Requests held open until there is something to say, and dropped when nobody listens any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

T = TypeVar("T")


async def unless_gone(
    request: Request,
    work: Coroutine[Any, Any, T],
    undo: Callable[[T], Coroutine[Any, Any, None]],
    released: asyncio.Event,
) -> T | None:
    """The result of `work`; None when the client hung up or the request was released before there was one.

    `work` is cancelled then, and a result that came all the same goes to `undo`: no one will read it. For requests
    without a body.
    """
    task = asyncio.ensure_future(work)
    ends = [asyncio.ensure_future(_hang_up(request)), asyncio.ensure_future(released.wait())]
    try:
        await asyncio.wait({task, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if not any(end.done() for end in ends):
            return await task
    except asyncio.CancelledError:
        await _withdraw(task, undo)
        raise
    finally:
        for end in ends:
            end.cancel()
    await _withdraw(task, undo)
    return None


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _withdraw(task: asyncio.Future[T], undo: Callable[[T], Coroutine[Any, Any, None]]) -> None:
    task.cancel()
    try:
        result = await task
    except asyncio.CancelledError:
        return
    await undo(result)
