"""The operations of RunPod's client API."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import ValidationError
from starlette.requests import Request

from gateway.bodies import read_json
from gateway.doors.runpod.record import external_id, internal_id, record, webhook_body
from gateway.doors.runpod.route import RunpodRoute
from gateway.doors.runpod.told import Told
from gateway.doors.schemas import inlined_schema
from gateway.files.links import relink
from gateway.fleet.fleet import OWN_BUCKET
from gateway.fleet.workers import Doing
from gateway.gateway import Gateway
from gateway.jobs.model import Job, NewJob, State, Webhook
from gateway.keys.key import Principal
from gateway.urls import BASE_URL, base_url
from gateway.webhooks.dialect import JsonDialect
from schemas.errors import BadRequest, FooocusError, InvalidInput, JobNotFound
from schemas.request import parse_request
from schemas.runpod import RunRequest

DOOR = "runpod"
DIALECT = "runpod"

Endpoint = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Wait = Annotated[int, Query(ge=1000, le=300_000, description="Milliseconds to wait for the result")]
DEFAULT_WAIT_MS = 90_000
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": inlined_schema(RunRequest)}}}}


def router(gateway: Gateway) -> APIRouter:
    """All routes of the door, and its words for webhooks."""
    gateway.webhooks.register(JsonDialect(DIALECT, webhook_body))
    routes = APIRouter(prefix="/runpod/v2/{endpoint}", route_class=RunpodRoute, tags=["RunPod"])
    for add in (_submitting, _asking, _acting):
        add(routes, gateway)
    return routes


def _submitting(routes: APIRouter, gateway: Gateway) -> None:
    @routes.post("/run", openapi_extra=_BODY, summary="Queue a job")
    async def run(request: Request, endpoint: Endpoint) -> dict[str, Any]:
        job = await _submit(gateway, request, endpoint, sync=False)
        return {"id": external_id(job), "status": record(job)["status"]}

    @routes.post("/runsync", openapi_extra=_BODY, summary="Queue a job and wait for it")
    async def runsync(request: Request, endpoint: Endpoint, wait: Wait = DEFAULT_WAIT_MS) -> dict[str, Any]:
        job = await _submit(gateway, request, endpoint, sync=True)
        return await _shown(gateway, request, await gateway.jobs.wait(job.id, wait / 1000))


def _asking(routes: APIRouter, gateway: Gateway) -> None:
    told = Told()

    @routes.get("/status/{job_id}", summary="State, progress or result of a job")
    async def status(request: Request, endpoint: Endpoint, job_id: str) -> dict[str, Any]:
        return await _shown(gateway, request, await _own(gateway, request, endpoint, job_id))

    @routes.get("/status-sync/{job_id}", summary="The same, waiting for the end")
    async def status_sync(
        request: Request, endpoint: Endpoint, job_id: str, wait: Wait = DEFAULT_WAIT_MS
    ) -> dict[str, Any]:
        job = await _own(gateway, request, endpoint, job_id)
        return await _shown(gateway, request, await gateway.jobs.wait(job.id, wait / 1000))

    @routes.get("/stream/{job_id}", summary="The result as a stream of one piece")
    async def stream(request: Request, endpoint: Endpoint, job_id: str) -> dict[str, Any]:
        job = await _own(gateway, request, endpoint, job_id)
        shown = await _shown(gateway, request, job)
        is_new = job.state is State.COMPLETED and told.first(job.id)
        return {"status": shown["status"], "stream": [{"output": shown["output"]}] if is_new else []}

    @routes.get("/health", summary="Jobs and workers in numbers")
    async def health(request: Request, endpoint: Endpoint) -> dict[str, Any]:
        await gateway.keys.identify(request)
        return {"jobs": _jobs(gateway), "workers": _workers(gateway)}


def _acting(routes: APIRouter, gateway: Gateway) -> None:
    @routes.post("/cancel/{job_id}", summary="Cancel a job")
    async def cancel(request: Request, endpoint: Endpoint, job_id: str) -> dict[str, Any]:
        job = await _own(gateway, request, endpoint, job_id)
        await gateway.jobs.cancel(job.id)
        return await _brief(gateway, request, endpoint, job_id)

    @routes.post("/retry/{job_id}", summary="Run a failed job again")
    async def retry(request: Request, endpoint: Endpoint, job_id: str) -> dict[str, Any]:
        job = await _own(gateway, request, endpoint, job_id)
        if job.state is not State.FAILED:
            raise BadRequest("Only a job that failed or timed out can be retried")
        await gateway.jobs.retry(job.id)
        return await _brief(gateway, request, endpoint, job_id)

    @routes.post("/purge-queue", summary="Cancel all waiting jobs")
    async def purge(request: Request, endpoint: Endpoint) -> dict[str, Any]:
        principal = await gateway.keys.identify(request)
        return {"removed": await gateway.jobs.purge(principal.id, DOOR), "status": "completed"}


async def _submit(gateway: Gateway, request: Request, endpoint: str, *, sync: bool) -> Job:
    """Accept a job. As on the platform a wrong `input` is the job's failure, not the request's."""
    principal = await gateway.keys.identify(request)
    asked = _envelope(await read_json(request, gateway.settings))
    new = _new_job(principal, endpoint, asked, {"sync": sync, BASE_URL: base_url(request, gateway.settings)})
    new = replace(new, webhooks=_webhooks(asked.webhook, gateway.settings.webhook_url))
    try:
        parse_request(asked.input)
    except FooocusError as error:
        return await gateway.refuse(principal, new, error)
    return await gateway.submit(principal, new)


def _envelope(body: Any) -> RunRequest:
    try:
        return RunRequest.model_validate(body)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error, ()) from None


def _webhooks(*urls: str | None) -> tuple[Webhook, ...]:
    """The job's own receiver and the gateway's."""
    return tuple(Webhook(url, DIALECT) for url in dict.fromkeys(urls) if url)


def _new_job(principal: Principal, endpoint: str, asked: RunRequest, extra: dict[str, Any]) -> NewJob:
    """The job without its webhooks."""
    policy = asked.policy
    if asked.s3Config is not None:
        extra = {**extra, OWN_BUCKET: asked.s3Config.model_dump(exclude_none=True)}
    return NewJob(
        owner=principal.id,
        door=DOOR,
        app=endpoint,
        input=asked.input if isinstance(asked.input, dict) else {},
        extra=extra,
        low_priority=policy.lowPriority,
        end_within_s=None if policy.ttl is None else policy.ttl / 1000,
        execution_timeout_s=None if policy.executionTimeout is None else policy.executionTimeout / 1000,
    )


async def _own(gateway: Gateway, request: Request, endpoint: str, job_id: str) -> Job:
    principal = await gateway.keys.identify(request)
    job = await gateway.jobs.get(internal_id(job_id), principal.id)
    if job is None or job.door != DOOR or job.app != endpoint:
        raise JobNotFound
    return job


async def _shown(gateway: Gateway, request: Request, job: Job) -> dict[str, Any]:
    """The record, with the URLs of pictures under the address the caller used."""
    if job.output is not None:
        output = await relink(gateway.files, job.output, base_url(request, gateway.settings))
        job = replace(job, output=output)
    return record(job, gateway.jobs.progress(job.id))


async def _brief(gateway: Gateway, request: Request, endpoint: str, job_id: str) -> dict[str, Any]:
    shown = record(await _own(gateway, request, endpoint, job_id))
    return {"id": shown["id"], "status": shown["status"]}


def _jobs(gateway: Gateway) -> dict[str, int]:
    counts = gateway.jobs.counts()
    return {
        "completed": counts.completed,
        "failed": counts.failed,
        "inProgress": counts.running,
        "inQueue": counts.queued,
        "retried": counts.requeued,
    }


def _workers(gateway: Gateway) -> dict[str, int]:
    counts = gateway.fleet.workers.counts()
    return {
        "idle": counts[Doing.IDLE],
        "initializing": counts[Doing.STARTING],
        "ready": counts[Doing.IDLE] + counts[Doing.RUNNING],
        "running": counts[Doing.RUNNING],
        "throttled": 0,
        "unhealthy": counts[Doing.UNHEALTHY],
    }
