"""fal's door: what fal's own clients speak to, under `/queue`, `/run`, `/rest`, `/cdn` and `/api/fal/proxy`."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.doors.fal import cdn, openapi, queue, rest, run, uploads
from gateway.doors.fal.addresses import FalAddresses
from gateway.doors.fal.errors import EXPOSED
from gateway.gateway import Gateway

__all__ = ["EXPOSED", "MIDDLEWARE", "router"]

MIDDLEWARE = (FalAddresses,)


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter()
    for part in (queue, run, rest, cdn, uploads, openapi):
        routes.include_router(part.router(gateway))
    return routes
