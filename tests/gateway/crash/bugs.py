"""Planted bugs: what the harness must catch, or its silence about the real store would mean nothing."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from gateway.files import sink
from gateway.jobs import store, transitions, writer
from gateway.jobs.handout import Handout
from gateway.jobs.leases import parse
from gateway.jobs.model import State


def acknowledge_before_commit() -> None:
    """Writes are reported when they are made; the commit follows a little later, for speed."""

    def commit(self: writer.Writer, batch: list[writer.Write]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for write in batch:
            self._perform(write)
        writer._deliver(batch)
        batch.clear()
        time.sleep(0.05)
        self._connection.execute("COMMIT")

    writer.Writer._commit = commit


def synchronous_normal() -> None:
    """SQLite does not sync the log at each commit."""
    store._PRAGMAS = store._PRAGMAS.replace("synchronous = FULL", "synchronous = NORMAL")


def files_not_synced() -> None:
    """A picture is acknowledged when it is written, and synced when the system likes."""
    sink.os = SimpleNamespace(**{**vars(os), "fsync": lambda descriptor: None})


def no_fencing() -> None:
    """A result is taken from whoever posts it, whatever attempt it belongs to."""

    async def finish(self: Handout, lease: str, worker: str, result: Mapping[str, Any]) -> bool:
        job_id, _ = parse(lease)
        how = transitions.End(State.COMPLETED, output=transitions.json.dumps(result))
        now = self._board.clock.time()

        def work(connection: sqlite3.Connection) -> sqlite3.Row | None:
            return transitions.end(connection, job_id, how, now)

        return await self._store.write(work, self._follow) is not None

    Handout.finish = finish


BUGS: Mapping[str, Callable[[], None]] = {
    "none": lambda: None,
    "acknowledge-before-commit": acknowledge_before_commit,
    "synchronous-normal": synchronous_normal,
    "files-not-synced": files_not_synced,
    "no-fencing": no_fencing,
}
