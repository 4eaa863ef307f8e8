"""rest.fal.ai: where uploads begin, and tokens.

    POST /storage/upload/initiate[-multipart]     {"file_name", "content_type"}      -> {"upload_url", "file_url"}
    POST /storage/auth/token                      {}      -> {"token", "token_type", "base_url", "expires_at"}
    POST /tokens/                                 {"allowed_apps", "token_expiration"}      -> "token"
    GET  /.well-known/jwks.json                   the public keys of our webhooks
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.bodies import read_json
from gateway.doors.fal.access import Scope, make_token
from gateway.doors.fal.receiving import upload_lifetime
from gateway.doors.fal.roots import CDN, REST, files_url, root_url
from gateway.doors.fal.route import FalRoute
from gateway.doors.fal.uploads import upload_url
from gateway.files.uploads import Uploads
from gateway.gateway import Gateway
from schemas.errors import InvalidInput

CDN_TOKEN_S = 3600

M = TypeVar("M", bound=BaseModel)


class Announcement(BaseModel):
    """A file to come. Its type is read from its content, whatever is said here."""

    file_name: str | None = None
    content_type: str | None = None


class TokenRequest(BaseModel):
    """A token for a page in a browser. `allowed_apps` are names without owner; there is only one app here."""

    allowed_apps: list[str] = []
    token_expiration: Annotated[int, Field(ge=1, le=3600)] = 120


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(prefix=REST, route_class=FalRoute, include_in_schema=False)
    uploads = Uploads(gateway.files)

    @routes.post("/storage/upload/initiate")
    @routes.post("/storage/upload/initiate-multipart")
    async def initiate(request: Request) -> JSONResponse:
        principal = await gateway.keys.identify(request)
        told = await _read(gateway, request, Announcement)
        upload = await uploads.announce(told.file_name, principal.id, upload_lifetime(request))
        file_url = uploads.url(upload, files_url(request, gateway.settings))
        return JSONResponse({"upload_url": upload_url(gateway, request, upload), "file_url": file_url})

    @routes.post("/storage/auth/token")
    async def cdn_token(request: Request) -> JSONResponse:
        principal = await gateway.keys.identify(request)
        expires_at = int(time.time()) + CDN_TOKEN_S
        return JSONResponse(
            {
                "token": make_token(gateway, principal, Scope.CDN, expires_at),
                "token_type": "Bearer",
                "base_url": root_url(request, gateway.settings, CDN),
                # "+00:00": Python before 3.11 cannot read "Z".
                "expires_at": datetime.fromtimestamp(expires_at, UTC).isoformat(),
            }
        )

    @routes.post("/tokens")
    @routes.post("/tokens/")
    async def app_token(request: Request) -> JSONResponse:
        principal = await gateway.keys.identify(request)
        asked = await _read(gateway, request, TokenRequest)
        return JSONResponse(make_token(gateway, principal, Scope.APPS, int(time.time()) + asked.token_expiration))

    @routes.get("/.well-known/jwks.json")
    async def jwks() -> JSONResponse:
        return JSONResponse(gateway.webhooks.jwks(), headers={"cache-control": "public, max-age=3600"})

    return routes


async def _read(gateway: Gateway, request: Request, model: type[M]) -> M:
    body: Any = await read_json(request, gateway.settings)
    try:
        return model.model_validate({} if body is None else body)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error) from None
