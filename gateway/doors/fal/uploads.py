"""Where JavaScript's client puts what it announced at `/storage/upload/initiate`: the URL itself is the permission.

    PUT  /uploads/{id}?token=…               the bytes
    PUT  /uploads/{id}/{n}?token=…           part n                                -> {"partNumber", "etag"}
    POST /uploads/{id}/complete?token=…      {"parts": [{"partNumber", "etag"}]}
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.doors.fal.receiving import Receiving
from gateway.doors.fal.roots import CDN, root_url
from gateway.doors.fal.route import FalRoute
from gateway.files.uploads import Upload, Uploads
from gateway.gateway import Gateway


def upload_url(gateway: Gateway, request: Request, upload: Upload) -> str:
    """Where the caller may put the announced file."""
    token = Uploads(gateway.files).token(upload)
    return f"{root_url(request, gateway.settings, CDN)}/uploads/{upload.id}?token={token}"


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(prefix=f"{CDN}/uploads", route_class=FalRoute, include_in_schema=False)
    receiving = Receiving.of(gateway)

    @routes.put("/{file_id}")
    async def put(request: Request, file_id: str, token: str = "") -> JSONResponse:
        receiving.allow_file(request)
        file = await receiving.uploads.receive(file_id, token, request.stream())
        return JSONResponse({"access_url": receiving.url(request, file)})

    @routes.put("/{file_id}/{number}")
    async def put_part(request: Request, file_id: str, number: str, token: str = "") -> JSONResponse:
        part = await receiving.part(request, file_id, token, number)
        return JSONResponse({"partNumber": part.number, "etag": part.etag}, headers={"etag": part.etag})

    @routes.post("/{file_id}/complete")
    async def complete(request: Request, file_id: str, token: str = "") -> JSONResponse:
        return JSONResponse(await receiving.complete(request, file_id, token))

    return routes
