"""What the endpoints take and give, as the OpenAPI document fal publishes for each of its apps."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.doors.fal.apps import APP, ENDPOINTS
from gateway.doors.fal.errors import not_found
from gateway.doors.fal.result import NOT_FALS
from gateway.doors.fal.roots import QUEUE, root_url
from gateway.doors.fal.route import FalRoute
from gateway.doors.schemas import inlined_schema
from gateway.gateway import Gateway
from schemas.request import REQUESTS
from schemas.result import GenerationResult

PATH = "/api/openapi/queue/openapi.json"

_ID = {"name": "request_id", "in": "path", "required": True, "schema": {"type": "string"}}


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(route_class=FalRoute, include_in_schema=False)

    @routes.get(PATH)
    async def openapi(request: Request, endpoint_id: str = APP) -> Response:
        if endpoint_id not in ENDPOINTS:
            return not_found(f"Application {endpoint_id!r} not found")
        return JSONResponse(document(endpoint_id, root_url(request, gateway.settings, QUEUE)))

    return routes


def document(endpoint_id: str, server: str) -> dict[str, Any]:
    """OpenAPI 3.0 of one endpoint's queue at `server`."""
    input_schema = _ordered(inlined_schema(REQUESTS[ENDPOINTS[endpoint_id]]))
    result = inlined_schema(GenerationResult)
    output_schema = _ordered(_without(result, NOT_FALS))
    of_request = f"/{APP}/requests/{{request_id}}"
    return {
        "openapi": "3.0.4",
        "info": {"title": endpoint_id, "version": "1.0.0"},
        "servers": [{"url": server}],
        "components": {
            "securitySchemes": {"apiKeyAuth": {"type": "apiKey", "in": "header", "name": "Authorization"}}
        },
        "security": [{"apiKeyAuth": []}],
        "paths": {
            f"/{endpoint_id}": {"post": {"requestBody": _json(input_schema, required=True), **_answers(200)}},
            f"{of_request}/status": {"get": {"parameters": [_ID], **_answers(200, 202)}},
            f"{of_request}/cancel": {"put": {"parameters": [_ID], **_answers(202, 400)}},
            of_request: {
                "get": {
                    "parameters": [_ID],
                    "responses": {"200": {"description": "The output", **_json(output_schema)}},
                }
            },
        },
    }


def _json(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}, **more}


def _answers(*statuses: int) -> dict[str, Any]:
    queue_status = {
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]},
            "request_id": {"type": "string"},
            "queue_position": {"type": "integer"},
        },
    }
    return {"responses": {str(status): {"description": "Its state", **_json(queue_status)} for status in statuses}}


def _without(schema: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    properties = {name: value for name, value in schema["properties"].items() if name not in names}
    required = [name for name in schema.get("required", []) if name not in names]
    return {**schema, "properties": properties, "required": required}


def _ordered(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "x-fal-order-properties": list(schema["properties"])}
