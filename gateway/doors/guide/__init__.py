"""`/docs`: every door in words of its users, with an example each; `/openapi.json` has the machine's version."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway.doors.guide.render import STYLE, page
from gateway.gateway import Gateway
from gateway.urls import base_url

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def router(gateway: Gateway) -> APIRouter:
    """The page and its style sheet; they need no key."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/docs")
    async def docs(request: Request) -> Response:
        return HTMLResponse(page(base_url(request, gateway.settings)), headers=HEADERS)

    @routes.get("/guide.css")
    async def style() -> Response:
        return Response(STYLE, headers=HEADERS, media_type="text/css")

    return routes
