"""Puts a gateway together: the parts, the doors, what surrounds every request, and the order of starting and ending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway import health, metrics
from gateway.auth import Keys
from gateway.bodies import BodyLimit
from gateway.doors import fal, fooocus_api, guide, playground, runpod
from gateway.files import routes as file_routes
from gateway.files.files import Files
from gateway.files.model import Limits
from gateway.files.sweep import Sweep
from gateway.fleet import protocol
from gateway.fleet.choose import choose_fleet
from gateway.gateway import Gateway
from gateway.hosts import name_of
from gateway.jobs import routes as job_routes
from gateway.jobs.jobs import Jobs
from gateway.jobs.policy import Policy
from gateway.jobs.store import Store
from gateway.middleware import HostGuard, LastCatch, RequestLog
from gateway.origins import OriginGuard
from gateway.settings import Settings
from gateway.urls import receiver_url
from gateway.webhooks import policy as webhook_policy
from gateway.webhooks import routes as webhook_routes
from gateway.webhooks.egress import Egress
from gateway.webhooks.webhooks import Webhooks
from schemas.errors import FooocusError

DOORS: tuple[ModuleType, ...] = (fal, fooocus_api, runpod, playground, guide)
"""The packages that open a door: each has `router(gateway) -> APIRouter`, and may have `MIDDLEWARE`, ASGI classes that
lead requests to its routes, `AROUND`, ASGI classes that see whatever answers them, refusals too, and `EXPOSED`, headers
that a page of another origin may read."""

EXPOSED = ("x-request-id", "Retry-After", "Location", "ETag", "Content-Range", "Accept-Ranges")
"""Headers that a page of another origin may read."""


def create_app(settings: Settings) -> FastAPI:
    """The application, its store open. Raises StoreInUse, StoreDamaged, StoreTooNew, StoreUnavailable."""
    store = Store(settings.data)
    gateway = _gateway(settings, store)
    app = FastAPI(
        title="fooocus-worker gateway",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lambda _app: _lifespan(gateway, store),
        middleware=_middleware(settings, gateway),
        exception_handlers={FooocusError: _refused},
    )
    app.state.gateway = gateway
    for part in (health, metrics, protocol, file_routes, job_routes, webhook_routes, *DOORS):
        app.include_router(part.router(gateway))
    return app


def _gateway(settings: Settings, store: Store) -> Gateway:
    policy = Policy(
        max_queued=settings.max_queued,
        max_attempts=settings.max_attempts,
        lease_s=settings.lease_s,
        execution_timeout_s=settings.execution_timeout_s,
        result_ttl_s=settings.result_ttl_s,
        file_ttl_s=settings.file_ttl_s,
    )
    jobs = Jobs(store, policy)
    files = Files(settings.data / "files", store, limits=Limits(file_ttl_s=settings.file_ttl_s))
    jobs.only_while(files.disk.has_room)
    keys = Keys(settings, store)
    fleet = choose_fleet(settings, jobs, files)
    egress = Egress(allow_private=settings.allow_private_webhooks)
    webhooks = Webhooks(
        store, jobs, files, egress,
        folder=settings.data / "webhooks", base_url=partial(receiver_url, settings=settings),
        policy=_patience(settings),
    )  # fmt: skip
    return Gateway(settings=settings, jobs=jobs, files=files, keys=keys, webhooks=webhooks, fleet=fleet)


def _patience(settings: Settings) -> webhook_policy.Policy:
    return webhook_policy.Policy(
        first_timeout_s=settings.webhook_first_timeout_s,
        timeout_s=settings.webhook_timeout_s,
        max_attempts=settings.webhook_max_attempts,
        first_delay_s=settings.webhook_first_delay_s,
        max_delay_s=settings.webhook_max_delay_s,
    )


@asynccontextmanager
async def _lifespan(gateway: Gateway, store: Store) -> AsyncIterator[None]:
    """From the inside out at the start, back again at the end."""
    sweep = Sweep(gateway.files, gateway.jobs)
    await gateway.keys.start()
    await gateway.jobs.start()
    await sweep.at_start()
    sweeping = asyncio.create_task(sweep.run())
    await gateway.webhooks.start()
    await gateway.fleet.start()
    try:
        yield
    finally:
        await gateway.fleet.stop()
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
        await gateway.webhooks.stop()
        await gateway.jobs.close()
        await gateway.files.close()
        store.close()


def _middleware(settings: Settings, gateway: Gateway) -> list[Middleware]:
    """From the outside in."""
    allowed = {*settings.allowed_hosts, *([settings.public_url.split("://")[-1]] if settings.public_url else [])}
    names = frozenset(name_of(host.partition("/")[0]) for host in allowed)
    return [
        Middleware(RequestLog),
        *map(Middleware, _of_doors("AROUND")),
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[*EXPOSED, *_of_doors("EXPOSED")],
            max_age=86400,
        ),
        Middleware(LastCatch),
        Middleware(HostGuard, needed=lambda: not gateway.keys.required, allowed=names),
        Middleware(OriginGuard, needed=lambda: not gateway.keys.required, named=settings.cors_origins),
        *map(Middleware, _of_doors("MIDDLEWARE")),
        Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
    ]


def _of_doors(name: str) -> list[Any]:
    """What the doors have under this name, in their order."""
    return [item for door in DOORS for item in getattr(door, name, ())]


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """What a failure looks like where a door gives it no other shape."""
    assert isinstance(error, FooocusError), "Registered for FooocusError alone."
    return JSONResponse(
        {"detail": error.detail, "error_type": error.code}, status_code=error.status, headers=refusal_headers(error)
    )


def refusal_headers(error: FooocusError) -> dict[str, str]:
    """`Retry-After` where the failure says when to come again."""
    seconds = getattr(error, "retry_after_s", None)
    return {"Retry-After": str(seconds)} if seconds is not None else {}
