"""Leases, as far as files need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.jobs.model import Job, State

if TYPE_CHECKING:
    from gateway.jobs.jobs import Jobs


async def leased_job(jobs: Jobs, lease_id: str) -> Job | None:
    """The job that runs under this lease at this moment."""
    job_id, _, attempt = lease_id.rpartition("-a")
    job = await jobs.get(job_id) if job_id else None
    runs = job is not None and job.state is State.RUNNING and str(job.attempts) == attempt
    return job if runs else None
