"""queue.fal.run: submit, status, result, cancel.

    POST {endpoint}                                submit
    GET  {app}/requests/{id}/status[/stream]       202 while it waits or runs, 200 at its end
    GET  {app}/requests/{id}[/response]            the output
    PUT  {app}/requests/{id}/cancel
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.doors.fal.access import Scope, identify
from gateway.doors.fal.apps import ENDPOINTS, Action, RequestPath, app_of, request_path
from gateway.doors.fal.errors import REQUEST_ID, not_found
from gateway.doors.fal.events import status_events
from gateway.doors.fal.options import wants_logs
from gateway.doors.fal.result import result_response
from gateway.doors.fal.roots import QUEUE, root_url
from gateway.doors.fal.route import METHODS, FalRoute
from gateway.doors.fal.sse import EventStream
from gateway.doors.fal.status import Queue, status_body, submitted_body
from gateway.doors.fal.submit import accept
from gateway.gateway import Gateway
from gateway.jobs.model import Cancelled, Job


@dataclass(frozen=True, slots=True)
class Call:
    """One call about a request that exists and belongs to the caller."""

    gateway: Gateway
    request: Request
    job: Job

    @property
    def queue(self) -> Queue:
        return queue_of(self.gateway, self.request)


def queue_of(gateway: Gateway, request: Request) -> Queue:
    return Queue(root_url(request, gateway.settings, QUEUE))


async def submit(gateway: Gateway, request: Request, endpoint_id: str) -> Response:
    principal = await identify(gateway, request, Scope.APPS)
    if endpoint_id not in ENDPOINTS:
        return not_found(f"Application {endpoint_id!r} not found")
    job = await accept(gateway, request, principal, endpoint_id)
    return _reply(submitted_body(job, queue_of(gateway, request), gateway.jobs.position(job.id)), 200, job)


async def status(call: Call) -> Response:
    job, jobs = call.job, call.gateway.jobs
    logs = await jobs.logs(job.id) if wants_logs(call.request.query_params) else None
    body = status_body(job, call.queue, position=jobs.position(job.id), logs=logs)
    return _reply(body, 200 if job.state.final else 202, job)


async def status_stream(call: Call) -> Response:
    logs = wants_logs(call.request.query_params)
    return EventStream(status_events(call.gateway.jobs, call.job, call.queue, logs), call.job.id)


async def result(call: Call) -> Response:
    if call.job.state.final:
        return await result_response(call.gateway, call.request, call.job)
    links = call.queue.links(call.job)
    return _reply({"detail": "Request is still in progress", "request_id": call.job.id, **links}, 400, call.job)


async def cancel(call: Call) -> Response:
    if await call.gateway.jobs.cancel(call.job.id) is Cancelled.ALREADY_DONE:
        return _reply({"status": "ALREADY_COMPLETED"}, 400, call.job)
    return _reply({"status": "CANCELLATION_REQUESTED"}, 202, call.job)


Answer = Callable[[Call], Awaitable[Response]]

ACTIONS: dict[tuple[str, Action], Answer] = {
    ("GET", Action.RESULT): result,
    ("GET", Action.RESPONSE): result,
    ("GET", Action.STATUS): status,
    ("GET", Action.STATUS_STREAM): status_stream,
    ("PUT", Action.CANCEL): cancel,
}


async def answer(gateway: Gateway, request: Request, asked: RequestPath) -> Response:
    """Answer a call about the request `asked` names: 404 for ids of other apps and other keys as for unknown ones."""
    act = ACTIONS.get((request.method, asked.action))
    if act is None:
        return JSONResponse({"detail": "Method Not Allowed"}, 405)
    principal = await identify(gateway, request, Scope.APPS)
    job = await gateway.jobs.get(asked.request_id, principal.id)
    if job is None or app_of(job.app) != asked.app:
        return JSONResponse({"status": "NOT_FOUND"}, 404)
    return await act(Call(gateway, request, job))


def router(gateway: Gateway) -> APIRouter:
    routes = APIRouter(route_class=FalRoute)

    @routes.api_route(QUEUE + "/{path:path}", methods=METHODS, include_in_schema=False)
    async def queue(request: Request, path: str) -> Response:
        asked = request_path(path)
        return await (answer(gateway, request, asked) if asked else submit(gateway, request, path))

    return routes


def _reply(body: dict[str, object], status: int, job: Job) -> JSONResponse:
    return JSONResponse(body, status, {REQUEST_ID: job.id})
