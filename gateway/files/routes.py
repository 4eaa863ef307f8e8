"""`/files`: reading files, and the address a worker puts its pictures at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.bodies import allow
from gateway.files.leases import leased_job
from gateway.files.response import file_response
from gateway.urls import base_url
from schemas.errors import FileMissing, Unauthorized

if TYPE_CHECKING:
    from gateway.gateway import Gateway


def router(gateway: Gateway) -> APIRouter:
    """GET and HEAD `/files/{id}/{name}`; PUT `/files/leases/{lease}/{name}` with the lease's token."""
    routes = APIRouter(include_in_schema=False)
    files = gateway.files

    @routes.api_route("/files/{file_id}/{name}", methods=["GET", "HEAD"])
    async def read(file_id: str, name: str, request: Request) -> Response:
        return await read_file(gateway, request, file_id, name)

    @routes.put("/files/leases/{lease_id}/{name}")
    async def put(lease_id: str, name: str, request: Request) -> JSONResponse:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not files.is_granted(lease_id, token):
            raise Unauthorized
        job = await leased_job(gateway.jobs, lease_id)
        if job is None:
            raise FileMissing
        allow(request, files.limits.max_result)
        file = await files.add_for_lease(
            request.stream(), name=name, owner=job.owner, job_id=job.id, lease_id=lease_id
        )
        return JSONResponse({"url": files.url(file, base_url(request, gateway.settings))})

    return routes


async def read_file(gateway: Gateway, request: Request, file_id: str, name: str) -> Response:
    """The answer to a GET or HEAD of a file. Raises FileMissing, also to those who may not read it."""
    file = await gateway.files.find(file_id)
    if file is None or file.name != name:
        raise FileMissing
    if not file.public and (await gateway.keys.identify(request)).id != file.owner:
        raise FileMissing
    try:
        return await file_response(request, file, gateway.files.disk, gateway.files.clock())
    except FileNotFoundError:
        raise FileMissing from None
