"""fal's door: what fal's own clients speak to, under `/queue`, `/run`, `/rest`, `/cdn` and `/api/fal/proxy`."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.doors.fal import cdn, openapi, queue, rest, run, uploads
from gateway.doors.fal.addresses import FalAddresses, FalLabels
from gateway.doors.fal.errors import EXPOSED, final_status
from gateway.doors.fal.webhook import webhook_payload
from gateway.gateway import Gateway
from gateway.webhooks.fal import FalDialect

__all__ = ["AROUND", "EXPOSED", "MIDDLEWARE", "router"]

MIDDLEWARE = (FalAddresses,)
AROUND = (FalLabels,)


def router(gateway: Gateway) -> APIRouter:
    """All routes of the door, and its words for webhooks."""
    gateway.webhooks.register(FalDialect(webhook_payload, final_status))
    routes = APIRouter()
    for part in (queue, run, rest, cdn, uploads, openapi):
        routes.include_router(part.router(gateway))
    return routes
