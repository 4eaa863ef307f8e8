"""The steps of a job in the database: each runs in the writer's transaction and only if the job is where it must be.

Each returns the row after the step, or None when the job was not in a state (or with a worker) that allows it.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.jobs.model import Failure, LogLine, State
from gateway.jobs.queries import queries
from gateway.jobs.records import dump_failure, dump_logs
from gateway.jobs.states import FINAL, LIVE, RUNNING, sources
from schemas.errors import IdempotencyConflict, WorkerLost

SQL = queries("gateway.jobs")

Row = sqlite3.Row


@dataclass(frozen=True, slots=True)
class Fence:
    """Which hand-out a step belongs to; a step with a fence of the past does nothing."""

    attempt: int | None = None
    worker: str | None = None


ANY = Fence()


@dataclass(frozen=True, slots=True)
class End:
    """How a job ends. output: JSON text."""

    state: State
    output: str | None = None
    failure: Failure | None = None
    lines: Sequence[LogLine] = ()


def insert(connection: sqlite3.Connection, values: dict[str, Any]) -> tuple[Row, bool]:
    """Add a job; return its row and whether it is new. Raises IdempotencyConflict."""
    earlier = known(connection, values)
    if earlier is not None:
        return earlier, False
    return _one(connection, "insert_job", values), True


def start(connection: sqlite3.Connection, job_id: str, worker: str, now: float) -> Row | None:
    """Hand a waiting job to a worker: the next attempt."""
    values = {"id": job_id, "worker": worker, "now": now, "sources": sources(State.RUNNING)}
    return _one(connection, "start", values)


def end(
    connection: sqlite3.Connection,
    job_id: str,
    how: End,
    now: float,
    *,
    among: frozenset[State] = LIVE,
    fence: Fence = ANY,
) -> Row | None:
    """End a job that is in a state of `among`, and put what its webhooks have to tell into the outbox."""
    values = {
        "id": job_id,
        "state": how.state,
        "now": now,
        "output": how.output,
        "failure": dump_failure(how.failure),
        "logs": dump_logs(how.lines),
        "sources": sources(how.state, among),
        "attempt": fence.attempt,
        "worker": fence.worker,
    }
    row = _one(connection, "end", values)
    if row is not None:
        _outbox(connection, row, now)
    return row


def give_back(connection: sqlite3.Connection, job_id: str, fence: Fence, strikes: int = 0) -> Row | None:
    """Queue a running job again."""
    values = {"id": job_id, "strikes": strikes, "sources": sources(State.QUEUED, RUNNING)}
    return _one(connection, "requeue", values | {"attempt": fence.attempt, "worker": fence.worker})


def lose(
    connection: sqlite3.Connection, job_id: str, fence: Fence, now: float, lines: Sequence[LogLine] = ()
) -> Row | None:
    """The worker of a running job is gone: queue the job again, or fail it when that happened too often."""
    row = _one(connection, "job", {"id": job_id})
    if row is None:
        return None
    if row["strikes"] + 1 < row["max_attempts"]:
        return give_back(connection, job_id, fence, strikes=1)
    how = End(State.FAILED, failure=Failure.of(WorkerLost()), lines=lines)
    return end(connection, job_id, how, now, among=RUNNING, fence=fence)


def retry(connection: sqlite3.Connection, job_id: str) -> Row | None:
    """Queue a failed job again, as if new."""
    return _one(connection, "retry", {"id": job_id, "sources": sources(State.QUEUED, FINAL)})


def delete(connection: sqlite3.Connection, job_id: str) -> bool:
    """Remove an ended job and its deliveries."""
    gone = bool(connection.execute(SQL["delete_job"], {"id": job_id}).rowcount)
    if gone:
        connection.execute(SQL["delete_deliveries"], {"id": job_id})
    return gone


def known(connection: sqlite3.Connection, values: dict[str, Any]) -> Row | None:
    """The job an idempotency key gave before. Raises IdempotencyConflict when its body was another."""
    key = values["idempotency_key"]
    if key is None:
        return None
    row = _one(connection, "by_idempotency_key", {"owner": values["owner"], "key": key})
    if row is not None and row["body_hash"] != values["body_hash"]:
        raise IdempotencyConflict()
    return row


def _outbox(connection: sqlite3.Connection, row: Row, now: float) -> None:
    connection.executemany(
        SQL["insert_delivery"],
        [
            {"id": str(uuid.uuid4()), "job_id": row["id"], "now": now, "url": hook["url"], "dialect": hook["dialect"]}
            for hook in json.loads(row["webhooks"])
        ],
    )


def _one(connection: sqlite3.Connection, name: str, values: Mapping[str, Any]) -> Row | None:
    # All rows, so that the statement is finished before the commit.
    rows = connection.execute(SQL[name], values).fetchall()
    return rows[0] if rows else None
