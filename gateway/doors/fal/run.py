"""fal.run: call an endpoint and wait. `{endpoint}` answers with the output, `{endpoint}/stream` with events.

A caller that goes away, or is sent away at the gateway's end, takes its job along; with an Idempotency-Key it can come
back for it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.doors.attendance import let_go, outcome, unless_gone
from gateway.doors.fal.access import Scope, identify
from gateway.doors.fal.apps import ENDPOINTS, streamed
from gateway.doors.fal.errors import failure_body, not_found
from gateway.doors.fal.events import preview_of
from gateway.doors.fal.result import output_of, result_response
from gateway.doors.fal.roots import RUN
from gateway.doors.fal.route import METHODS, FalRoute
from gateway.doors.fal.sse import HEARTBEAT_S, KEEP_ALIVE, BrokenOff, EventStream, event, paced
from gateway.doors.fal.submit import accept
from gateway.gateway import Gateway
from gateway.jobs.model import Job, Progress
from schemas.errors import ShuttingDown

News = AsyncGenerator[Any, None]


async def answer_run(gateway: Gateway, request: Request, job: Job) -> Response:
    """The output or the failure, at the job's end."""
    return await result_response(gateway, request, await outcome(request, gateway.jobs, job))


async def answer_stream(gateway: Gateway, request: Request, job: Job) -> Response:
    """Step previews, then the output. A job that fails before its first step answers as `answer_run` does."""
    news = paced(gateway.jobs.watch(job.id), HEARTBEAT_S)
    try:
        first = await unless_gone(request, gateway.jobs, job, _first(gateway, job, news))
    except BaseException:
        await news.aclose()
        raise
    if isinstance(first, Job):
        await news.aclose()
        return await result_response(gateway, request, first)
    events = _events(gateway, request, news, first)
    return EventStream(events, job.id, lambda: let_go(gateway.jobs, job))


async def _first(gateway: Gateway, job: Job, news: News) -> Job | Progress | None:
    """The first step, or the job when it ended before; None when it is silent for longer than a connection should."""
    async for item in news:
        if item is None or isinstance(item, Progress) or (isinstance(item, Job) and item.state.final):
            return item
    await let_go(gateway.jobs, job)
    raise ShuttingDown


async def _events(
    gateway: Gateway, request: Request, news: News, first: Progress | None
) -> AsyncGenerator[bytes, None]:
    try:
        yield KEEP_ALIVE if first is None else event(preview_of(first))
        async for item in news:
            if item is None:
                yield KEEP_ALIVE
            elif isinstance(item, Progress):
                yield event(preview_of(item))
            elif isinstance(item, Job) and item.failure is not None:
                yield event(failure_body(item.failure))
                raise BrokenOff
            elif isinstance(item, Job) and item.state.final:
                yield event(await output_of(gateway, request, item))
    finally:
        await news.aclose()


async def call(gateway: Gateway, request: Request, path: str) -> Response:
    principal = await identify(gateway, request, Scope.APPS)
    streamed_id = streamed(path)
    endpoint_id = path if streamed_id is None else streamed_id
    if endpoint_id not in ENDPOINTS:
        return not_found(f"Application {endpoint_id!r} not found")
    job = await accept(gateway, request, principal, endpoint_id)
    answer = answer_run if streamed_id is None else answer_stream
    try:
        return await answer(gateway, request, job)
    except ClientDisconnect:
        return Response(status_code=499)


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(route_class=FalRoute)

    @routes.api_route(RUN + "/{path:path}", methods=METHODS, include_in_schema=False)
    async def run(request: Request, path: str) -> Response:
        return await call(gateway, request, path)

    return routes
