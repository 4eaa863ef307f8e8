"""The platform's side of RunPod's worker protocol, as the SDK speaks it. Below `/worker/v2/fooocus/`:

    GET  job-take/<worker>            one job; held until there is one, 204 when the hold is over
    GET  job-take-batch/<worker>      up to `batch_size` jobs in a list; held likewise
    GET  job-stop/<worker>            `{"jobsToStop": [id, …]}`; held likewise
    POST job-done/<worker>/<job>      the result; progress of a running job when the body has a `status`
    POST job-stream/<worker>/<job>    one chunk of a generator's output
    GET  ping/<worker>                heartbeat; `job_id` names what it works on

A worker's token opens these paths under that worker's name only. `<job>` is the id of a lease: of each attempt another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.bodies import allow, parse_json
from gateway.fleet.calls import Call, read_call
from gateway.fleet.environment import ENDPOINT, MAX_RESULT
from gateway.fleet.fleet import Fleet
from gateway.fleet.held import unless_gone
from gateway.fleet.workers import Worker
from gateway.settings import Settings
from gateway.urls import is_base, used_url
from schemas.errors import BadRequest, Unauthorized

if TYPE_CHECKING:
    from gateway.gateway import Gateway

_WRONG_TOKEN_S = 2.0
"""The SDK asks again at once, whatever the refusal: this slows it down."""

_LEAVING_S = 0.05
_BODY_ROOM = 2**20
_MAX_DEPTH = 200


def router(gateway: Gateway) -> APIRouter:
    """The worker protocol."""
    routes = APIRouter(include_in_schema=False)
    fleet = gateway.fleet

    @routes.api_route(f"/worker/v2/{ENDPOINT}/{{path:path}}", methods=["GET", "POST"])
    async def call(path: str, request: Request) -> Response:
        heard = read_call(path, request)
        await _check_token(fleet, heard.worker, request)
        answer = _ANSWERS.get((request.method, heard.operation))
        if answer is None:
            raise BadRequest("This is no call of the worker protocol")
        return await answer(_Caller(gateway, fleet.workers.get(heard.worker), heard, request))

    return routes


async def _check_token(fleet: Fleet, worker: str, request: Request) -> None:
    token = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    if not fleet.tokens.fits(worker, token):
        await asyncio.sleep(_WRONG_TOKEN_S)
        raise Unauthorized("This token is not the one of this worker")


class _Caller:
    """One call and whom it comes from."""

    def __init__(self, gateway: Gateway, worker: Worker, call: Call, request: Request) -> None:
        self.fleet: Fleet = gateway.fleet
        self.worker = worker
        self.call = call
        self.request = request
        self.base_url = _reached_at(call, request, gateway.settings)

    async def take(self) -> Response:
        jobs = await self._take(1)
        return JSONResponse(jobs[0]) if jobs else Response(status_code=204)

    async def take_batch(self) -> Response:
        size = self.call.query.get("batch_size", "")
        jobs = await self._take(int(size) if size.isascii() and size.isdigit() and len(size) < 5 else 1)
        return JSONResponse(jobs) if jobs else Response(status_code=204)

    async def _take(self, count: int) -> list[dict[str, object]] | None:
        if self.worker.leaving.is_set():
            await asyncio.sleep(_LEAVING_S)
            return None
        with self.fleet.workers.polling(self.worker):
            work = self.fleet.take(self.worker, max(count, 1), self.base_url)
            return await unless_gone(self.request, work, self.fleet.untake, self.worker.leaving)

    async def stops(self) -> Response:
        with self.fleet.workers.polling(self.worker):
            work = self.fleet.stops(self.worker)
            leases = await unless_gone(self.request, work, self.fleet.untold, self.worker.leaving)
        return JSONResponse({"jobsToStop": leases}) if leases else Response(status_code=204)

    async def done(self) -> Response:
        body = await self._body()
        if "status" in body:
            await self.fleet.report(self.worker, self.call.lease, body.get("output"))
        else:
            await self.fleet.finish(self.worker, self.call.lease, body)
        return JSONResponse({})

    async def stream(self) -> Response:
        await self._body()
        await self.fleet.report(self.worker, self.call.lease, None)
        return JSONResponse({})

    async def ping(self) -> Response:
        query = self.call.query
        if query.get("status") == "unhealthy":
            self.fleet.unhealthy(self.worker, f"{query.get('check', '')}: {query.get('reason', '')}"[:300])
        else:
            await self.fleet.ping(self.worker, [name for name in query.get("job_id", "").split(",") if name])
        return JSONResponse({})

    async def _body(self) -> dict[str, object]:
        allow(self.request, MAX_RESULT + _BODY_ROOM)
        body = parse_json(await self.request.body(), _MAX_DEPTH)
        if not isinstance(body, dict) or not self.call.lease:
            raise BadRequest("This is no answer of a worker")
        return body


def _reached_at(call: Call, request: Request, settings: Settings) -> str:
    """Where this worker reaches us: what its variables say, which only uploads of its own jobs depend on."""
    told = call.query.get("base", "")
    return told if is_base(told) else used_url(request, settings)


_ANSWERS: dict[tuple[str, str], Callable[[_Caller], Awaitable[Response]]] = {
    ("GET", "job-take"): _Caller.take,
    ("GET", "job-take-batch"): _Caller.take_batch,
    ("GET", "job-stop"): _Caller.stops,
    ("GET", "ping"): _Caller.ping,
    ("POST", "job-done"): _Caller.done,
    ("POST", "job-stream"): _Caller.stream,
}
