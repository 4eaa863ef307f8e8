"""The files' rows: each function runs inside a transaction of the store."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from gateway.files.model import Kind, StoredFile

SQL = {path.name.removesuffix(".sql"): path.read_text("utf-8") for path in (files(__package__) / "sql").iterdir()}
SCHEMA = SQL["schema"]


def insert(connection: sqlite3.Connection, file: StoredFile) -> None:
    connection.execute(SQL["insert"], asdict(file))


def update(connection: sqlite3.Connection, file: StoredFile) -> None:
    """New content under an id that is known already."""
    connection.execute(SQL["update"], asdict(file))


def one(connection: sqlite3.Connection, query: str, **values: Any) -> StoredFile | None:
    """The file a query finds, if it finds one."""
    return next(iter(many(connection, query, **values)), None)


def many(connection: sqlite3.Connection, query: str, **values: Any) -> list[StoredFile]:
    cursor = connection.execute(SQL[query], values)
    names = [column[0] for column in cursor.description]
    return [_file(dict(zip(names, row, strict=True))) for row in cursor]


def change(connection: sqlite3.Connection, query: str, **values: Any) -> None:
    connection.execute(SQL[query], values)


def drop(connection: sqlite3.Connection, query: str, **values: Any) -> list[str]:
    """Delete rows; the blobs that belong to nobody now, to be removed once this is durable."""
    return [blob for (blob,) in connection.execute(SQL[query], values).fetchall()]


def blobs(connection: sqlite3.Connection) -> dict[str, str]:
    """The blob of every file, by id."""
    return dict(connection.execute(SQL["blobs"]).fetchall())


def _file(row: Mapping[str, Any]) -> StoredFile:
    return StoredFile(**{**row, "kind": Kind(row["kind"]), "public": bool(row["public"])})
