"""What all routes of this door share: failures in fal's words, and an id on every reply."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from gateway.doors.fal.errors import REQUEST_ID, refusal
from schemas.errors import FooocusError

METHODS = ["GET", "POST", "PUT"]


class FalRoute(APIRoute):
    """A route that answers a FooocusError in fal's shape and gives replies without a request's id one of their own:
    Python's client takes a reply without for one of a broken proxy."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:
        handle: Callable[[Request], Any] = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                response: Response = await handle(request)
            except FooocusError as error:
                response = refusal(error)
            if REQUEST_ID not in response.headers:
                response.headers[REQUEST_ID] = str(uuid.uuid4())
            return response

        return answer
