"""The URLs of pictures as the caller reaches them, and their bytes."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request

from gateway.files.links import relink
from gateway.gateway import Gateway
from gateway.jobs.model import Job
from gateway.urls import base_url


class Links:
    """The gateway's own files, seen from one request."""

    def __init__(self, gateway: Gateway, request: Request) -> None:
        self._files = gateway.files
        self._base = base_url(request, gateway.settings)

    async def relinked(self, job: Job) -> Job:
        """The job with the URLs of its pictures under the address the caller used."""
        if job.output is None:
            return job
        return replace(job, output=await relink(self._files, job.output, self._base))

    async def read(self, url: str) -> bytes | None:
        """The content of one of the gateway's own files; None when it is gone or elsewhere."""
        file = await self._files.resolve(url)
        return None if file is None else await self._files.read(file)
