"""What a finished request answers: the bare output, or its failure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.doors.fal.errors import REQUEST_ID, failure_response
from gateway.doors.fal.roots import files_url
from gateway.files.links import relink
from gateway.gateway import Gateway
from gateway.jobs.model import Job

NOT_FALS = ("seeds",)
"""Keys of the canonical result that fal's output has not."""


async def result_response(gateway: Gateway, request: Request, job: Job) -> JSONResponse:
    """The answer of a job that has ended."""
    if job.failure is not None:
        return failure_response(job.failure, job.id)
    return JSONResponse(await output_of(gateway, request, job), headers={REQUEST_ID: job.id})


async def output_of(gateway: Gateway, request: Request, job: Job) -> dict[str, Any]:
    """fal's output of a completed job, with pictures at the address this caller knows us by."""
    return fal_output(await relink(gateway.files, job.output or {}, files_url(request, gateway.settings)))


def fal_output(output: Mapping[str, Any]) -> dict[str, Any]:
    """The canonical result without what fal's output has not."""
    return {name: value for name, value in output.items() if name not in NOT_FALS}
