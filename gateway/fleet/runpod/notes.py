"""Which job is known by which id at the endpoint: on the disk, so that a restarted gateway asks for it again."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.jobs.queries import queries
from gateway.jobs.store import Store

SQL = queries("gateway.fleet.runpod")


@dataclass(frozen=True, slots=True)
class Note:
    """remote: None for a job that may or may not have arrived there."""

    lease: str
    endpoint: str
    remote: str | None


class Notes:
    """The notes of one store. All raise StoreUnavailable."""

    def __init__(self, store: Store, endpoint: str) -> None:
        store.migrate("runpod", [SQL["schema"]])
        self._store = store
        self._endpoint = endpoint

    async def put(self, lease: str, remote: str | None = None) -> None:
        """Before a job is sent, and again with the id it got."""
        values = {"lease_id": lease, "endpoint": self._endpoint, "remote_id": remote, "at": time.time()}
        await self._store.write(lambda connection: connection.execute(SQL["put"], values).rowcount)

    async def forget(self, lease: str) -> None:
        await self._store.write(lambda connection: connection.execute(SQL["forget"], {"lease_id": lease}).rowcount)

    async def every(self) -> list[Note]:
        """What an earlier process left, oldest first."""
        rows = await self._store.read(lambda connection: connection.execute(SQL["every"]).fetchall())
        return [Note(*row) for row in rows]
