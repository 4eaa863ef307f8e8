"""Errors in Fooocus-API's shapes: FastAPI's `detail`, 403 for a wrong key, never an unexpected 500."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.doors.fooocus_api.locations import AS_JSON, Sent, translated
from schemas.errors import FooocusError, InvalidInput, Unauthorized

Model = TypeVar("Model", bound=BaseModel)
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class FooocusApiRoute(APIRoute):
    """A route whose errors look as Fooocus-API's clients expect them."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except FooocusError as error:
                return refusal(error, getattr(request.state, "sent", AS_JSON))

        return answer


def refusal(error: FooocusError, sent: Sent = AS_JSON) -> Response:
    """The error as an answer to a request that was written so."""
    if isinstance(error, Unauthorized):
        return JSONResponse({"detail": "Forbidden"}, 403)
    wait_s = getattr(error, "retry_after_s", None)
    headers = {"Retry-After": str(max(1, round(wait_s)))} if wait_s is not None else None
    return JSONResponse({"detail": translated(error.detail, sent)}, error.status, headers)


def checked(model: type[Model], body: Any) -> Model:
    """`body` as `model`. Raises InvalidInput with FastAPI's detail list."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error) from None
