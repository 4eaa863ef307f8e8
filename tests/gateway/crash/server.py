"""The real store, queue and files behind a Unix socket: one JSON request a line, one answer a line.

    python -m tests.gateway.crash.server DATA SOCKET [BUG]
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.files.files import Files
from gateway.files.leases import leased_job
from gateway.files.model import Limits
from gateway.files.sweep import Sweep
from gateway.jobs.jobs import Jobs
from gateway.jobs.model import NewJob, Progress, Webhook
from gateway.jobs.policy import Policy
from gateway.jobs.store import Store
from schemas.errors import FooocusError
from tests.gateway.crash.bugs import BUGS

POLICY = Policy(max_queued=100_000, lease_s=0.25, max_attempts=1000)
"""Short leases, so that jobs are lost and handed out again all the time."""

NEW = NewJob(owner="", door="fal", app="fal-ai/fooocus", input={}, webhooks=(Webhook("https://example.com", "fal"),))


LIMITS = Limits(min_free=0)
"""The disk of a power cut is small."""


def picture_of(lease: str) -> bytes:
    """What the worker of a lease draws: no PNG beyond its first bytes, of each lease another."""
    return b"\x89PNG\r\n\x1a\n" + lease.encode() * 200


def integrity(connection: sqlite3.Connection) -> str:
    return connection.execute("PRAGMA integrity_check").fetchone()[0]


class Server:
    """One method per kind of request."""

    def __init__(self, store: Store, jobs: Jobs, files: Files) -> None:
        self._store = store
        self._jobs = jobs
        self._files = files

    async def submit(self, owner: str, key: str | None, text: str) -> str:
        job = replace(NEW, owner=owner, idempotency_key=key, input={"prompt": text})
        return (await self._jobs.submit(job)).id

    async def cancel(self, job: str) -> str:
        return await self._jobs.cancel(job)

    async def take(self, worker: str, count: int) -> list[str]:
        return [lease.id for lease in await self._jobs.take(worker, count, 0.2)]

    async def report(self, lease: str, worker: str) -> bool:
        return await self._jobs.report(lease, worker, Progress(1, 1, 1, 2, 0.5))

    async def finish(self, lease: str, worker: str, draws: bool) -> bool:
        picture = await self._draw(lease) if draws else None
        return await self._jobs.finish(lease, worker, {"by": lease, "picture": picture})

    async def _draw(self, lease: str) -> str | None:
        """The id of the lease's picture; None when the lease is over."""
        job = await leased_job(self._jobs, lease)
        if job is None:
            return None
        named = {"name": "0.png", "owner": job.owner, "job_id": job.id, "lease_id": lease}
        return (await self._files.add_for_lease(picture_of(lease), **named)).id

    async def pictures(self) -> list[list[Any]]:
        """Of every completed job with a picture its id, and what is wrong with the picture, None for nothing."""

        def read(connection: sqlite3.Connection) -> list[sqlite3.Row]:
            return connection.execute("SELECT id, output FROM jobs WHERE state = 'completed'").fetchall()

        outputs = {row["id"]: json.loads(row["output"]) for row in await self._store.read(read)}
        drawn = {job_id: output for job_id, output in outputs.items() if output["picture"] is not None}
        return [[job_id, await self._wrong(output)] for job_id, output in drawn.items()]

    async def _wrong(self, output: dict[str, Any]) -> str | None:
        file = await self._files.find(output["picture"])
        if file is None:
            return "gone"
        found, drawn = await self._files.read(file), picture_of(output["by"])
        if hashlib.sha256(found).hexdigest() != file.sha256:
            return "damaged"
        return None if found == drawn else "another's"

    async def give_back(self, lease: str) -> bool:
        return await self._jobs.give_back(lease)

    async def dump(self) -> dict[str, Any]:
        """Everything in the store: per job state, attempts, outcome; per job its outbox rows; SQLite's own check."""

        def read(connection: sqlite3.Connection) -> dict[str, Any]:
            connection.execute("BEGIN")
            jobs = connection.execute("SELECT id, state, attempts, output, failure FROM jobs").fetchall()
            told = connection.execute("SELECT job_id, count(*) FROM deliveries GROUP BY job_id").fetchall()
            whole = integrity(connection)
            connection.execute("COMMIT")
            return {
                "jobs": {row["id"]: [row["state"], row["attempts"], _outcome(row)] for row in jobs},
                "told": {row[0]: row[1] for row in told},
                "integrity": whole,
            }

        return await self._store.read(read)


def _outcome(row: sqlite3.Row) -> str | None:
    if row["output"] is not None:
        return json.loads(row["output"])["by"]
    return json.loads(row["failure"])["code"] if row["failure"] is not None else None


async def answer(server: Server, request: list[Any]) -> dict[str, Any]:
    name, *arguments = request
    try:
        return {"answer": await getattr(server, name)(*arguments)}
    except FooocusError as error:
        return {"error": error.code}


async def main(data: str, socket: str, bug: str = "none") -> None:
    BUGS[bug]()
    store = Store(Path(data))
    jobs = Jobs(store, POLICY)
    await jobs.start()
    files = Files(Path(data) / "files", store, limits=LIMITS)
    sweep = Sweep(files, jobs)
    await sweep.at_start()
    sweeping = asyncio.create_task(sweep.run())
    server = Server(store, jobs, files)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(await answer(server, json.loads(line))).encode() + b"\n")
        writer.close()

    listener = await asyncio.start_unix_server(serve, socket, limit=2**26)
    await asyncio.gather(listener.serve_forever(), sweeping)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
