"""What the outbox holds: frozen records. Times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One webhook of one job.

    id: what receivers see as `webhook-id`, the same at each attempt. next_at: when it is due, while pending.
    """

    id: str
    job_id: str
    url: str
    dialect: str
    state: DeliveryState
    attempts: int
    next_at: float
    last_status: int | None
    last_error: str | None
    created_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try. seconds: how long it took. status: of the answer, if there was one. error: why it did not count."""

    delivery_id: str
    at: float
    seconds: float
    status: int | None
    error: str | None
