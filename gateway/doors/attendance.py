"""Waiting for a job with its caller: who goes away cancels it."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Job


async def outcome(request: Request, jobs: Jobs, job_id: str) -> Job:
    """The finished job. When the caller hangs up first, the job is cancelled and ClientDisconnect raised.

    The request's body must have been read. No thread is held while waiting.
    """
    gone = asyncio.ensure_future(_gone(request))
    done = asyncio.ensure_future(jobs.wait(job_id, None))
    try:
        await asyncio.wait((gone, done), return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        await jobs.cancel(job_id)
        raise ClientDisconnect
    finally:
        gone.cancel()
        done.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
