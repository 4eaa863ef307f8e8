"""Waiting for a job with its caller: who goes away, or is sent away, takes it along."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Job
from schemas.errors import ShuttingDown

T = TypeVar("T")


async def outcome(request: Request, jobs: Jobs, job: Job) -> Job:
    """The finished job. When the caller hangs up first, the job is let go and ClientDisconnect raised; ShuttingDown
    likewise when the gateway ends first.

    The request's body must have been read. No thread is held while waiting.
    """
    ended = await unless_gone(request, jobs, job, jobs.wait(job.id))
    if not ended.state.final:
        await let_go(jobs, job)
        raise ShuttingDown
    return ended


async def unless_gone(request: Request, jobs: Jobs, job: Job, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. When the caller hangs up first, it is stopped, the job let go, ClientDisconnect raised."""
    gone, done = asyncio.ensure_future(_gone(request)), asyncio.ensure_future(work)
    try:
        await asyncio.wait((gone, done), return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        await let_go(jobs, job)
        raise ClientDisconnect
    finally:
        gone.cancel()
        done.cancel()
        await asyncio.gather(gone, done, return_exceptions=True)


async def let_go(jobs: Jobs, job: Job) -> None:
    """Cancel a job nobody waits for any more. One with an idempotency key goes on: its caller may come back with it."""
    if job.idempotency_key is None:
        await jobs.cancel(job.id)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
