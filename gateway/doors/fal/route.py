"""What all routes of this door share: failures in fal's words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from gateway.doors.fal.errors import refusal
from schemas.errors import FooocusError

METHODS = ["GET", "POST", "PUT"]


class FalRoute(APIRoute):
    """A route that answers a FooocusError in fal's shape."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:
        handle: Callable[[Request], Any] = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except FooocusError as error:
                return refusal(error)

        return answer
