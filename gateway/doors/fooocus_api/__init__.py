"""Fooocus-API's door: its REST surface at the root, as `mrhan1993/Fooocus-API` has it."""

from __future__ import annotations

from fastapi import APIRouter

from gateway.doors.fooocus_api import control, engines, generation, jobs, tools
from gateway.doors.fooocus_api.answer import webhook_body
from gateway.doors.fooocus_api.preset import Preset
from gateway.gateway import Gateway
from gateway.webhooks.dialect import JsonDialect


def router(gateway: Gateway) -> APIRouter:
    """All routes of the door, and its words for webhooks."""
    gateway.webhooks.register(JsonDialect(generation.DIALECT, webhook_body))
    routes = APIRouter()
    routes.include_router(generation.router(gateway, Preset.load(gateway.settings.preset)))
    for part in (jobs, control, engines, tools):
        routes.include_router(part.router(gateway))
    return routes
