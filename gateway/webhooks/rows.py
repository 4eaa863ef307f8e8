"""The outbox's rows: each function runs inside a transaction of the store."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from typing import Any

from gateway.jobs.queries import queries
from gateway.webhooks.model import Attempt, Delivery, DeliveryState

SQL = queries(__package__)
MIGRATIONS = [SQL["schema"]]


def deliveries(connection: sqlite3.Connection, query: str, **values: Any) -> list[Delivery]:
    """The deliveries a query finds."""
    return [_delivery(row) for row in connection.execute(SQL[query], values).fetchall()]


def attempts(connection: sqlite3.Connection, job_id: str) -> list[Attempt]:
    """The attempts of all deliveries of a job, oldest first."""
    return [Attempt(**dict(row)) for row in connection.execute(SQL["attempts_of_job"], {"job_id": job_id}).fetchall()]


def settle(connection: sqlite3.Connection, attempt: Attempt, state: DeliveryState, next_at: float) -> None:
    """Write down an attempt and what follows from it."""
    changed = connection.execute(
        SQL["settle"],
        {
            "id": attempt.delivery_id,
            "state": state,
            "next_at": next_at,
            "status": attempt.status,
            "error": attempt.error,
        },
    ).rowcount
    if changed:
        connection.execute(SQL["insert_attempt"], asdict(attempt))


def _delivery(row: sqlite3.Row) -> Delivery:
    return Delivery(**{**dict(row), "state": DeliveryState(row["state"])})
