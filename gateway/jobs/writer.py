"""The one thread that writes: what waits is done in one transaction, so that many share one sync of the disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schemas.errors import FooocusError, StoreUnavailable

MAX_BATCH = 512
"""Writes in one transaction: bounds how long the first of them waits for the last."""

log = logging.getLogger(__name__)

_TROUBLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


def is_trouble(error: BaseException) -> bool:
    """Whether the disk or the file failed, rather than the statement; SQLite may then have rolled everything back."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _TROUBLE


@dataclass(slots=True)
class Write:
    """One piece of writing. `then` runs in the event loop once the work is on the disk, whether or not anyone still
    waits for `done`; all `then`s run in the order of their commits."""

    work: Callable[[sqlite3.Connection], Any]
    then: Callable[[Any], None] | None
    done: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None

    def deliver(self) -> None:
        """In the event loop: apply the result, wake who waits."""
        if self.error is None and self.then is not None:
            try:
                self.then(self.result)
            except Exception as error:
                log.exception("applying a committed write failed")
                self.error = error
        if self.done.done():
            return
        if self.error is None:
            self.done.set_result(self.result)
        else:
            self.done.set_exception(self.error)


class Writer:
    """Owner of the writing connection. A write is reported only after its commit."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._waiting: deque[Write] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._refusing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def put(self, write: Write) -> None:
        """Queue a write. Raises StoreUnavailable once closed."""
        with self._wake:
            if self._closing:
                raise StoreUnavailable()
            self._waiting.append(write)
            self._wake.notify()

    def close(self) -> None:
        """Finish what is waiting, then stop the thread and close the connection."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while batch := self._take():
            self._commit(batch)
            _deliver(batch)

    def _take(self) -> list[Write]:
        with self._wake:
            self._wake.wait_for(lambda: self._waiting or self._closing)
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]

    def _commit(self, batch: list[Write]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in batch:
                self._perform(write)
            self._connection.execute("COMMIT")
            self._refusing = False
        except Exception as error:
            self._abandon(batch, error)

    def _perform(self, write: Write) -> None:
        """One write inside the batch; a failure of its own undoes it alone."""
        self._connection.execute("SAVEPOINT one")
        try:
            write.result = write.work(self._connection)
        except Exception as error:
            if is_trouble(error):
                raise
            write.error = error
            self._connection.execute("ROLLBACK TO one")
        self._connection.execute("RELEASE one")

    def _abandon(self, batch: list[Write], error: Exception) -> None:
        if not self._refusing:
            log.error("the store does not take writes: %s", error)
        self._refusing = True
        with contextlib.suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        for write in batch:
            write.error = _unavailable(error)


def _unavailable(error: Exception) -> FooocusError:
    refusal = StoreUnavailable()
    refusal.__cause__ = error
    return refusal


def _deliver(batch: list[Write]) -> None:
    loops = {write.done.get_loop() for write in batch}
    for loop in loops:
        mine = [write for write in batch if write.done.get_loop() is loop]
        # A closed loop: nobody is left to tell, and the next start reads what was committed.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_deliver_all, mine)


def _deliver_all(batch: list[Write]) -> None:
    for write in batch:
        write.deliver()
