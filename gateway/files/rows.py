"""The files' rows: each function runs inside a transaction of the store."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from typing import Any

from gateway.files.model import Kind, StoredFile
from gateway.jobs.queries import queries

SQL = queries(__package__)
MIGRATIONS = [SQL["schema"]]


def insert(connection: sqlite3.Connection, file: StoredFile) -> None:
    connection.execute(SQL["insert"], asdict(file))


def update(connection: sqlite3.Connection, file: StoredFile) -> None:
    """New content, or a new end, under an id that is known already."""
    connection.execute(SQL["update"], asdict(file))


def one(connection: sqlite3.Connection, query: str, **values: Any) -> StoredFile | None:
    """The file a query finds, if it finds one."""
    row = connection.execute(SQL[query], values).fetchone()
    return row and StoredFile(**{**dict(row), "kind": Kind(row["kind"]), "public": bool(row["public"])})


def change(connection: sqlite3.Connection, query: str, **values: Any) -> None:
    connection.execute(SQL[query], values)


def taken(connection: sqlite3.Connection, query: str, **values: Any) -> list[str]:
    """The first column of what a query gives: for a DELETE, the blobs to remove once it is durable."""
    return [row[0] for row in connection.execute(SQL[query], values).fetchall()]


def pairs(connection: sqlite3.Connection, query: str, **values: Any) -> list[tuple[str, str | None]]:
    return [tuple(row) for row in connection.execute(SQL[query], values).fetchall()]
