"""`GET /jobs`: what the caller's own jobs were and are, of all doors, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel
from starlette.requests import Request

from gateway.jobs.jobs import MAX_HISTORY
from gateway.jobs.model import Job, State
from schemas.errors import JobNotFound

if TYPE_CHECKING:
    from gateway.gateway import Gateway


class Trouble(BaseModel):
    """Why a job ended without a result."""

    code: str
    message: str


class Entry(BaseModel):
    """A job in short. Times are Unix seconds. `expires_at`: when its record goes, once it has ended."""

    id: str
    door: str
    app: str
    state: State
    attempts: int
    worker: str | None
    created_at: float
    started_at: float | None
    ended_at: float | None
    expires_at: float | None
    error: Trouble | None


class History(BaseModel):
    """One page. `next` is the `before` of the following one; null when there is none."""

    jobs: list[Entry]
    next: str | None


def router(gateway: Gateway) -> APIRouter:
    """GET `/jobs`."""
    routes = APIRouter(tags=["status"])

    @routes.get("/jobs", summary="The caller's own jobs, newest first")
    async def jobs(
        request: Request,
        door: Annotated[
            str | None, Query(description="Only those of this door: fal, fooocus-api, fooocus-api-describe, runpod")
        ] = None,
        state: Annotated[State | None, Query(description="Only those in this state")] = None,
        before: Annotated[str | None, Query(description="Only those submitted before the job of this id")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_HISTORY)] = 50,
    ) -> History:
        owner = (await gateway.keys.identify(request)).id
        if before is not None and await gateway.jobs.get(before, owner) is None:
            raise JobNotFound
        among = State if state is None else [state]
        found = await gateway.jobs.history(owner, door=door, among=among, before=before, limit=limit)
        full = len(found) == limit
        return History(jobs=[_entry(job) for job in found], next=found[-1].id if full else None)

    return routes


def _entry(job: Job) -> Entry:
    trouble = None if job.failure is None else Trouble(code=job.failure.code, message=job.failure.message)
    return Entry(
        id=job.id, door=job.door, app=job.app, state=job.state, attempts=job.attempts, worker=job.worker,
        created_at=job.created_at, started_at=job.started_at, ended_at=job.ended_at, expires_at=job.expires_at,
        error=trouble,
    )  # fmt: skip
