"""Waiting for a job with its caller: who goes away cancels it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Job

T = TypeVar("T")


async def outcome(request: Request, jobs: Jobs, job_id: str) -> Job:
    """The finished job. When the caller hangs up first, the job is cancelled and ClientDisconnect raised.

    The request's body must have been read. No thread is held while waiting.
    """
    return await unless_gone(request, jobs, job_id, jobs.wait(job_id))


async def unless_gone(request: Request, jobs: Jobs, job_id: str, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives. When the caller hangs up first, it is stopped, the job cancelled, ClientDisconnect raised."""
    gone, done = asyncio.ensure_future(_gone(request)), asyncio.ensure_future(work)
    try:
        await asyncio.wait((gone, done), return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        await jobs.cancel(job_id)
        raise ClientDisconnect
    finally:
        gone.cancel()
        done.cancel()
        await asyncio.gather(gone, done, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
