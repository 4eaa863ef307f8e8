"""Stop and ping."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request

from gateway.doors.fooocus_api.jobs import running
from gateway.doors.fooocus_api.route import FooocusApiRoute
from gateway.gateway import Gateway
from schemas.fooocus_api.answers import Stopped


def router(gateway: Gateway) -> APIRouter:
    """The routes that act on the server."""
    routes = APIRouter(route_class=FooocusApiRoute, tags=["Fooocus-API"])

    @routes.post("/v1/generation/stop", summary="Stop what is running; waiting jobs stay")
    async def stop(request: Request) -> Stopped:
        """Stops the caller's jobs that run now. With none running it does nothing, to later jobs neither."""
        principal = await gateway.keys.identify(request)
        for job in await running(gateway, principal.id):
            await gateway.jobs.cancel(job.id)
        return Stopped()

    @routes.get("/ping", summary="Whether the server answers")
    async def ping(request: Request) -> str:
        await gateway.keys.identify(request)
        return "pong"

    return routes
