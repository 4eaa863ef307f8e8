"""JSON bodies, refused in FastAPI's words when they are none."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from gateway.bodies import read_json
from gateway.settings import Settings
from schemas.errors import BadRequest, InvalidInput


async def read_body(request: Request, settings: Settings) -> Any:
    """The body as JSON types. Raises InvalidInput without a body or with one that is not JSON, and what `read_json`
    raises."""
    try:
        body = await read_json(request, settings)
    except BadRequest as error:
        detail = {"type": "json_invalid", "msg": "JSON decode error", "input": {}, "ctx": {"error": str(error)}}
        raise InvalidInput([{"loc": ["body"], **detail}]) from None
    if body is None:
        raise InvalidInput([{"loc": ["body"], "type": "missing", "msg": "Field required"}])
    return body
