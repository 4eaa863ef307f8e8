"""`/healthz`: this process serves. `/readyz`: a worker is warm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.hosts import is_loopback
from gateway.settings import Settings
from schemas.errors import NotFound

if TYPE_CHECKING:
    from gateway.gateway import Gateway

_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip")


def router(gateway: Gateway) -> APIRouter:
    """GET `/healthz` and `/readyz`."""
    routes = APIRouter(tags=["status"])

    @routes.get("/healthz")
    async def healthz(request: Request) -> JSONResponse:
        check_may_look(request, gateway.settings)
        return JSONResponse({"status": "ok"})

    @routes.get("/readyz")
    async def readyz(request: Request) -> JSONResponse:
        near = check_may_look(request, gateway.settings)
        workers = gateway.fleet.workers
        ready = workers.warm()
        body = {"status": "ready" if ready else "no worker is warm", "workers": workers.counts()}
        body |= {"troubles": workers.troubles()} if near else {}
        return JSONResponse(body, status_code=200 if ready else 503)

    return routes


def check_may_look(request: Request, settings: Settings) -> bool:
    """Whether the caller is on this machine and speaks for itself. Raises NotFound for others, unless all may look."""
    forwarded = any(name in request.headers for name in _FORWARDED)
    near = request.client is not None and is_loopback(request.client.host) and not forwarded
    if not near and not settings.open_status:
        raise NotFound
    return near
