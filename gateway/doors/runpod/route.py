"""Errors as RunPod's API has them: `{"error": text}`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.errors import FooocusError, InvalidInput


class RunpodRoute(APIRoute):
    """A route whose errors RunPod's SDKs understand."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except FooocusError as error:
                return _refusal(error)

        return answer


def _refusal(error: FooocusError) -> Response:
    # The platform has 400 for every wrong body.
    status = 400 if isinstance(error, InvalidInput) else error.status
    wait_s = getattr(error, "retry_after_s", None)
    headers = {"Retry-After": str(max(1, round(wait_s)))} if wait_s is not None else None
    return JSONResponse({"error": str(error)}, status, headers)
