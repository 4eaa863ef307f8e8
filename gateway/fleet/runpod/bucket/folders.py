"""Which folders of the bucket are in use, and which are to be emptied: on the disk, so that nothing is left behind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from gateway.jobs.queries import queries
from gateway.jobs.store import Store

SQL = queries("gateway.fleet.runpod.bucket")


@dataclass(frozen=True, slots=True)
class Closed:
    """A folder nobody reads any more. closed_at: Unix seconds. life_s: how long something may still be written."""

    lease: str
    closed_at: float
    life_s: float


class Folders:
    """The folders of one place. All raise StoreUnavailable."""

    def __init__(self, store: Store, place: str) -> None:
        store.migrate("runpod_bucket", [SQL["schema"]])
        self._store = store
        self._place = place

    async def open(self, lease: str, life_s: float) -> None:
        """Before anything is written for a lease. life_s: how long after its end something might still be."""
        await self._write("open", lease_id=lease, life_s=life_s)

    async def close(self, lease: str, life_s: float | None = None) -> None:
        """What is in it is read no more. life_s: less than what was said at first, where that is known."""
        await self._write("close", lease_id=lease, now=time.time(), life_s=float("inf") if life_s is None else life_s)

    async def unclosed(self) -> list[str]:
        """The leases whose folders are in use, those of an earlier process too."""
        return [row[0] for row in await self._rows("unclosed")]

    async def due(self) -> list[Closed]:
        """Some that are to be emptied now."""
        return [Closed(*row) for row in await self._rows("due", now=time.time())]

    async def later(self, lease: str, seconds: float) -> None:
        """Look again after so long."""
        await self._write("later", lease_id=lease, look_at=time.time() + seconds)

    async def forget(self, lease: str) -> None:
        """It is empty and stays so."""
        await self._write("forget", lease_id=lease)

    async def elsewhere(self) -> int:
        """How many are in another place, which was configured before."""
        return int((await self._rows("elsewhere"))[0][0])

    async def _write(self, query: str, **values: Any) -> None:
        await self._store.write(
            lambda connection: connection.execute(SQL[query], values | {"place": self._place}).rowcount
        )

    async def _rows(self, query: str, **values: Any) -> list[Any]:
        return await self._store.read(
            lambda connection: connection.execute(SQL[query], values | {"place": self._place}).fetchall()
        )
