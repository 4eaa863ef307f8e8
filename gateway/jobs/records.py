"""Between records and rows of the table `jobs`."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gateway.jobs.model import Failure, Job, LogLine, NewJob, State, Webhook
from gateway.jobs.policy import Policy


def dump(value: Any) -> str:
    """JSON text. Raises ValueError for NaN and infinities."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def new_row(new: NewJob, policy: Policy, now: float) -> dict[str, Any]:
    """The values of `insert_job.sql` for a job submitted at `now`."""
    text = dump(new.input)
    return {
        "id": str(uuid.uuid4()),
        "owner": new.owner,
        "door": new.door,
        "app": new.app,
        "low_priority": new.low_priority,
        "max_attempts": _given(new.max_attempts, policy.max_attempts),
        "created_at": now,
        "start_within_s": new.start_within_s,
        "end_within_s": new.end_within_s,
        "execution_timeout_s": _given(new.execution_timeout_s, policy.execution_timeout_s),
        "result_ttl_s": _given(new.result_ttl_s, policy.result_ttl_s),
        "file_ttl_s": _given(new.file_ttl_s, policy.file_ttl_s),
        "webhooks": dump([asdict(webhook) for webhook in new.webhooks]),
        "extra": dump(new.extra),
        "input": text,
        "idempotency_key": new.idempotency_key,
        "body_hash": _body_hash(new) if new.idempotency_key is not None else None,
    }


def job(row: sqlite3.Row) -> Job:
    """The record of a whole row."""
    return Job(
        id=row["id"],
        owner=row["owner"],
        door=row["door"],
        app=row["app"],
        input=json.loads(row["input"]),
        extra=json.loads(row["extra"]),
        state=State(row["state"]),
        low_priority=bool(row["low_priority"]),
        attempts=row["attempts"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        worker=row["worker"],
        output=json.loads(row["output"]) if row["output"] is not None else None,
        failure=Failure(**json.loads(row["failure"])) if row["failure"] is not None else None,
        execution_timeout_s=row["execution_timeout_s"],
        file_ttl_s=row["file_ttl_s"],
        expires_at=row["expires_at"],
        webhooks=tuple(Webhook(**item) for item in json.loads(row["webhooks"])),
        idempotency_key=row["idempotency_key"],
    )


def size(row: sqlite3.Row) -> int:
    """Characters of a whole row's JSON."""
    return sum(len(row[name] or "") for name in ("input", "extra", "output", "failure"))


def dump_failure(failure: Failure | None) -> str | None:
    """The text of column `failure`."""
    return dump(asdict(failure)) if failure is not None else None


def dump_logs(lines: Sequence[LogLine]) -> str:
    """The text of column `logs`."""
    return dump([[line.at, line.level, line.message] for line in lines])


def load_logs(text: str | None) -> list[LogLine]:
    """The lines of column `logs`."""
    return [LogLine(*item) for item in json.loads(text or "[]")]


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value


def _body_hash(new: NewJob) -> bytes:
    """What makes two submissions with one idempotency key the same."""
    said = new.input if new.body is None else new.body
    body = json.dumps([new.door, new.app, said], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode("utf-8")).digest()
