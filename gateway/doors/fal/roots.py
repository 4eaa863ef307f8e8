"""fal's hosts, where each of them is on this gateway, and by which address a caller reaches it."""

from __future__ import annotations

from starlette.requests import Request

from gateway.settings import Settings
from gateway.urls import base_url, own_url

QUEUE, RUN, REST, CDN = ROOTS = "/queue", "/run", "/rest", "/cdn"

HOSTS = {
    "queue.fal.run": QUEUE,
    "fal.run": RUN,
    "rest.fal.ai": REST,
    "rest.alpha.fal.ai": REST,
    "v3.fal.media": CDN,
    "fal.media": CDN,
}
"""What stands for each of fal's hosts. `alpha` and plain `fal.media` are of older clients."""

_CANONICAL = {QUEUE: "https://queue.fal.run", CDN: "https://v3.fal.media"}

BY_NAME = "fal_by_name"
"""Key of the ASGI scope: the caller was led here by fal's own host names (`gateway.doors.fal.addresses`)."""


def root_url(request: Request, settings: Settings, root: str) -> str:
    """What URLs of `root` (QUEUE or CDN) start with, so that this caller comes back to us."""
    if request.scope.get(BY_NAME):
        return _CANONICAL[root]
    return base_url(request, settings) + root


def files_url(request: Request, settings: Settings) -> str:
    """What URLs of files start with. They are opened by other programs than the client, which know fal's names only
    as fal's."""
    if request.scope.get(BY_NAME):
        return (settings.public_url or own_url(settings)).rstrip("/")
    url = base_url(request, settings)
    if settings.tls_cert is None and url.startswith("https:") and url.endswith(f":{settings.tls_port}"):
        # Only the client was told to trust the certificate that was made here.
        return f"http:{url.removeprefix('https:').rpartition(':')[0]}:{settings.port}"
    return url
