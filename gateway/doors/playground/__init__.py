"""The playground: a page that calls fal's door as any client does, and shows the code for each call."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from gateway.gateway import Gateway

PAGE = Path(__file__).parent / "page"
FILES = {path.name: path for path in PAGE.iterdir() if path.is_file()}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data: blob:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def router(gateway: Gateway) -> APIRouter:
    """`/` and the files of the page. They are the same for everybody, so they need no key; the calls do."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page() -> Response:
        return _file(FILES["index.html"])

    @routes.get("/playground/{name}")
    async def file(name: str) -> Response:
        return _file(FILES[name]) if name in FILES else Response(status_code=404)

    return routes


def _file(path: Path) -> Response:
    return FileResponse(path, headers=HEADERS, media_type=f"{_TYPES[path.suffix]}; charset=utf-8")
