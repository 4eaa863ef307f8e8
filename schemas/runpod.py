"""RunPod's client API: the envelope of a request and the record of a job. Times on this wire are milliseconds."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from schemas.fields import WholeNumber
from schemas.parts import Part

WEEK_MS = 7 * 24 * 3600 * 1000


class RunStatus(StrEnum):
    """`status` of a job."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"


class Policy(Part):
    """executionTimeout counts from the start of the run; ttl from submission, and ends a job that waits or runs."""

    executionTimeout: Annotated[int, Field(ge=5_000, le=WEEK_MS), WholeNumber] | None = None
    ttl: Annotated[int, Field(ge=10_000, le=WEEK_MS), WholeNumber] | None = None
    lowPriority: bool = False


class S3Config(Part):
    """A bucket of the caller's for this job's pictures; the worker checks it."""

    accessId: str
    accessSecret: str
    bucketName: str
    endpointUrl: str
    objectPath: str | None = None
    region: str | None = None


class RunRequest(Part):
    """The body of `/run` and `/runsync`."""

    input: Any
    webhook: Annotated[str, Field(max_length=2048)] | None = None
    policy: Policy = Policy()
    s3Config: S3Config | None = None


class RunRecord(BaseModel):
    """A job as `/status` shows it. While it runs, `output` is its progress; `error` is text."""

    id: str
    status: RunStatus
    delayTime: int | None = None
    executionTime: int | None = None
    workerId: str | None = None
    output: Any = None
    error: str | None = None
