"""v3.fal.media: uploads of Python's client, and reading them.

    POST     /files/upload                                    the bytes        -> {"access_url"}
    POST     /files/upload/multipart                          nothing          -> {"access_url", "uploadId"}
    PUT      {access_url}/multipart/{uploadId}/{n}            part n           -> ETag
    POST     {access_url}/multipart/{uploadId}/complete       {"parts": […]}
    GET HEAD {access_url}
"""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.doors.fal.access import Scope, identify
from gateway.doors.fal.receiving import Receiving, upload_lifetime
from gateway.doors.fal.roots import CDN
from gateway.doors.fal.route import FalRoute
from gateway.files.routes import read_file
from gateway.gateway import Gateway

FILE_NAME = "x-fal-file-name"


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(prefix=CDN, route_class=FalRoute, include_in_schema=False)
    receiving = Receiving.of(gateway)

    @routes.post("/files/upload")
    async def upload(request: Request) -> JSONResponse:
        principal = await identify(gateway, request, Scope.CDN)
        name, ttl_s = request.headers.get(FILE_NAME, ""), upload_lifetime(request)
        receiving.allow_file(request)
        file = await gateway.files.add(request.stream(), name=name, owner=principal.id, ttl_s=ttl_s)
        return JSONResponse({"access_url": receiving.url(request, file)})

    @routes.post("/files/upload/multipart")
    async def begin(request: Request) -> JSONResponse:
        principal = await identify(gateway, request, Scope.CDN)
        uploads, name = receiving.uploads, request.headers.get(FILE_NAME)
        upload = await uploads.announce(name, principal.id, upload_lifetime(request))
        return JSONResponse({"access_url": receiving.url(request, upload), "uploadId": uploads.token(upload)})

    @routes.put("/files/{file_id}/{name}/multipart/{upload_id}/{number}")
    async def part(request: Request, file_id: str, upload_id: str, number: str) -> Response:
        received = await receiving.part(request, file_id, upload_id, number)
        return Response(headers={"etag": received.etag})

    @routes.post("/files/{file_id}/{name}/multipart/{upload_id}/complete")
    async def complete(request: Request, file_id: str, upload_id: str) -> JSONResponse:
        return JSONResponse(await receiving.complete(request, file_id, upload_id))

    @routes.api_route("/files/{file_id}/{name}", methods=["GET", "HEAD"])
    async def read(request: Request, file_id: str, name: str) -> Response:
        return await read_file(gateway, request, file_id, name)

    return routes
