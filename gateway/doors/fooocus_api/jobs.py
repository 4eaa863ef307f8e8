"""Asking about jobs: state, queue, history."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.doors.fooocus_api import answer
from gateway.doors.fooocus_api.generation import DOOR
from gateway.doors.fooocus_api.links import Links
from gateway.doors.fooocus_api.route import FooocusApiRoute
from gateway.gateway import Gateway
from gateway.jobs.jobs import MAX_HISTORY
from gateway.jobs.model import Job
from gateway.jobs.states import FINAL, LIVE, QUEUED, RUNNING
from schemas.fooocus_api.answers import AsyncJob, JobHistory, JobQueue

MAX_PAGE = MAX_HISTORY
MAX_PAGES = 10**9
"""Far beyond any history, and a number SQLite can count to."""


def router(gateway: Gateway) -> APIRouter:
    """The routes about jobs."""
    routes = APIRouter(route_class=FooocusApiRoute, tags=["Fooocus-API"])

    async def own(request: Request) -> str:
        return (await gateway.keys.identify(request)).id

    @routes.get(
        "/v1/generation/query-job",
        summary="State and pictures of a job",
        response_model=AsyncJob,
        responses={404: {"model": AsyncJob}},
    )
    async def query_job(request: Request, job_id: str, require_step_preview: bool = False) -> Response:
        job = await gateway.jobs.get(job_id, await own(request))
        if job is None or job.door != DOOR:
            return JSONResponse(answer.NOT_FOUND.model_dump(mode="json"), 404)
        links = Links(gateway, request)
        progress = gateway.jobs.progress(job.id)
        shown = await answer.async_job(await links.relinked(job), progress, require_step_preview, links.read)
        return JSONResponse(shown.model_dump(mode="json"))

    @routes.get("/v1/generation/job-queue", summary="How many jobs wait, run and are done")
    @routes.get("/v1/engines/job-queue", summary="The same under the path of the document's heading")
    async def job_queue(request: Request) -> JobQueue:
        owner = await own(request)
        newest = await gateway.jobs.history(owner, door=DOOR, limit=1)
        return JobQueue(
            running_size=await gateway.jobs.tally(owner, DOOR, LIVE),
            finished_size=await gateway.jobs.tally(owner, DOOR, FINAL),
            last_job_id=newest[0].id if newest else None,
        )

    @routes.get("/v1/generation/job-history", summary="Jobs by page, one job, or its removal")
    async def job_history(
        request: Request,
        job_id: str = "",
        page: Annotated[int, Query(ge=0, le=MAX_PAGES)] = 0,
        page_size: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
        delete: bool = False,
    ) -> Any:
        owner = await own(request)
        if job_id:
            return await _one(gateway, await gateway.jobs.get(job_id, owner), delete)
        done = await gateway.jobs.history(owner, door=DOOR, among=FINAL, limit=page_size, offset=page * page_size)
        return _history([*(await _live(gateway, owner) if page == 0 else []), *done])

    return routes


async def running(gateway: Gateway, owner: str) -> list[Job]:
    """All running jobs, oldest first."""
    found: list[Job] = []
    before = None
    while page := await gateway.jobs.history(owner, door=DOOR, among=RUNNING, before=before, limit=MAX_PAGE):
        found += page
        before = page[-1].id
    return found[::-1]


async def _live(gateway: Gateway, owner: str) -> list[Job]:
    """Running jobs, then waiting ones, oldest first; of very many waiting ones the newest."""
    waiting = await gateway.jobs.history(owner, door=DOOR, among=QUEUED, limit=MAX_PAGE)
    now = await running(gateway, owner)
    began = {job.id for job in now}
    return [*now, *(job for job in waiting[::-1] if job.id not in began)]


async def _one(gateway: Gateway, job: Job | None, delete: bool) -> Any:
    if job is not None and job.door != DOOR:
        job = None
    if not delete:
        return _history([] if job is None else [job])
    if job is None:
        return {"message": "Not found"}
    if not job.state.final:
        await gateway.jobs.cancel(job.id)
    await gateway.jobs.delete(job.id)
    await gateway.files.drop_job(job.id)
    return {"message": "Deleted"}


def _history(jobs: list[Job]) -> JobHistory:
    shown = [answer.history_job(job) for job in jobs]
    return JobHistory(
        queue=[job for job in shown if not job.is_finished], history=[job for job in shown if job.is_finished]
    )
