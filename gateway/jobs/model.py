"""What a job is: frozen records that doors, queue and workers pass around. Times are Unix seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from schemas.errors import FooocusError


class State(StrEnum):
    """Where a job is. `gateway.jobs.states` holds the transitions."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (State.COMPLETED, State.FAILED, State.CANCELLED)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed, in the terms of `schemas.errors`.

    code: stable snake_case. status: HTTP status a door may replay. detail: text, or fal's list for invalid input.
    """

    code: str
    status: int
    retryable: bool
    detail: Any
    message: str

    @classmethod
    def of(cls, error: FooocusError) -> Failure:
        """The record of an error."""
        return cls(error.code, error.status, error.retryable, error.detail, str(error))


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where the end of a job is told, and in which door's words (`dialect`, a key of `gateway.webhooks`)."""

    url: str
    dialect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job as a door submits it.

    owner: id of the key that may see it. door: name of the door. app: the door's name for what was called, such as
    `fal-ai/fooocus/inpaint`. input: the canonical request (`schemas.request`), already validated. extra: the door's own
    notes, given back with the job. start_within_s: fail unless started in this time. end_within_s: fail, waiting or
    running, unless ended in this time. execution_timeout_s: stop and fail when it runs longer. result_ttl_s,
    file_ttl_s: how long record and files are kept after the end; None means the gateway's setting. max_ahead: refuse
    when more jobs than this are waiting. max_attempts: how often it may be handed to a worker. idempotency_key: the
    same key of the same owner gives the first job again. body: what came in place of a valid input; it tells
    submissions with one key apart and is not kept.
    """

    owner: str
    door: str
    app: str
    input: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    low_priority: bool = False
    start_within_s: float | None = None
    end_within_s: float | None = None
    execution_timeout_s: float | None = None
    result_ttl_s: float | None = None
    file_ttl_s: float | None = None
    max_ahead: int | None = None
    max_attempts: int | None = None
    idempotency_key: str | None = None
    body: Any = None
    webhooks: tuple[Webhook, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the store has it.

    attempts: how often it was handed to a worker. output: the canonical result (`schemas.result`) once completed.
    failure: why it ended without one, for a cancelled job too. expires_at: when the record goes, once it ended.
    """

    id: str
    owner: str
    door: str
    app: str
    input: Mapping[str, Any]
    extra: Mapping[str, Any]
    state: State
    low_priority: bool
    attempts: int
    created_at: float
    started_at: float | None
    ended_at: float | None
    worker: str | None
    output: Mapping[str, Any] | None
    failure: Failure | None
    execution_timeout_s: float
    file_ttl_s: float
    expires_at: float | None
    webhooks: tuple[Webhook, ...]
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Lease:
    """A job handed to a worker. `id` is what the worker knows it by: job id and attempt, so that posts of an earlier
    attempt are told apart."""

    id: str
    job: Job


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log. level: `INFO`, `WARN` or `ERROR`."""

    at: float
    level: str
    message: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a running job is: the worker's own figures. share: 0..1 over all images. preview: a data URI."""

    image: int
    images: int
    step: int
    steps: int
    share: float
    preview: str | None = None


class Cancelled(StrEnum):
    """What a cancel request did."""

    DROPPED = "dropped"
    """It was waiting and is cancelled now."""
    STOPPING = "stopping"
    """It was running; it counts as cancelled, and its worker is told to stop."""
    ALREADY_DONE = "already done"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs: waiting and running now; how they ended, and how often one was queued again, since the start."""

    queued: int
    running: int
    completed: int
    failed: int
    cancelled: int
    requeued: int
