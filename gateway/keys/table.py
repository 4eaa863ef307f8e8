"""The keys in the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.jobs.queries import queries
from gateway.keys.key import Key, digest, draw

if TYPE_CHECKING:
    import sqlite3

    from gateway.jobs.store import Store

_SQL = queries(__package__)
SCHEMA = [_SQL["schema"]]
"""The versions of the table, for `Store.migrate`."""


async def add(store: Store, name: str, jobs_per_minute: int | None = None, max_waiting: int | None = None) -> str:
    """Make a key and return it: the only time it is seen. The store keeps its hash."""
    key_id, secret = draw()
    values = {
        "id": key_id,
        "name": name,
        "hash": digest(secret),
        "jobs_per_minute": jobs_per_minute,
        "max_waiting": max_waiting,
        "created_at": time.time(),
    }
    await store.write(lambda connection: connection.execute(_SQL["insert"], values))
    return secret


async def every(store: Store) -> list[Key]:
    """All keys, the revoked ones too, oldest first."""

    def read(connection: sqlite3.Connection) -> list[Key]:
        return [Key(*row) for row in connection.execute(_SQL["list"])]

    return await store.read(read)


async def revoke(store: Store, key_id: str) -> bool:
    """Make a key open nothing any more; False when there is no such key in use."""
    values = {"id": key_id, "now": time.time()}
    return bool(await store.write(lambda connection: connection.execute(_SQL["revoke"], values).rowcount))
