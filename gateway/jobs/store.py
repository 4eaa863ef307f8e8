"""The store: one SQLite file, one process, one writer. What a write reports is on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from gateway.jobs.queries import queries
from gateway.jobs.writer import Write, Writer, is_trouble
from schemas.errors import StoreDamaged, StoreInUse, StoreTooNew, StoreUnavailable

T = TypeVar("T")

FILE = "gateway.sqlite3"
LOCK = "gateway.lock"
READERS = 2

_MADE = b"1"

log = logging.getLogger(__name__)

_PRAGMAS = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA wal_autocheckpoint = 1000;
PRAGMA journal_size_limit = 16777216;
PRAGMA busy_timeout = 10000;
PRAGMA trusted_schema = OFF;
"""
_MIGRATIONS = "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT"


class Store:
    """The database of one data folder, shared by the parts of the gateway; each keeps tables of its own.

    exclusive: refuse a folder that another process has open; False for short commands beside a running gateway.
    Raises StoreInUse, StoreDamaged (never repairs or replaces what it cannot read) and StoreUnavailable.
    """

    def __init__(self, folder: Path, *, exclusive: bool = True) -> None:
        self._path = folder / FILE
        self._lock = _lock(folder) if exclusive else None
        try:
            connection = self._open()
            self.migrate("jobs", [queries("gateway.jobs")[version] for version in ("schema", "deadline")])
            self._mark_made()
        except BaseException:
            self._unlock()
            raise
        self._writer = Writer(connection)
        self._local = threading.local()
        self._read_connections: list[sqlite3.Connection] = []
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    def migrate(self, name: str, scripts: list[str]) -> None:
        """Bring the tables of one part up to date: `scripts` are its versions 1, 2, … in order, each run once.

        Call before serving. Raises StoreTooNew when the file was written by a newer version.
        """
        with contextlib.closing(_connect(str(self._path))) as connection, _start_errors():
            connection.executescript(_PRAGMAS)
            row = connection.execute("SELECT version FROM migrations WHERE name = ?", (name,)).fetchone()
            version = row[0] if row else 0
            if version > len(scripts):
                raise StoreTooNew()
            for number, script in list(enumerate(scripts, 1))[version:]:
                mark = f"INSERT OR REPLACE INTO migrations VALUES ('{name}', {number});"
                connection.executescript(f"BEGIN IMMEDIATE; {script} {mark} COMMIT;")

    async def write(
        self, work: Callable[[sqlite3.Connection], T], then: Callable[[T], None] | None = None
    ) -> T:
        """Run `work` in the writer's transaction; return its result once that is on the disk.

        An exception of `work` undoes its changes alone and is raised here. `then(result)` runs in the event loop
        after the commit even if the caller has gone. Raises StoreUnavailable (disk full, I/O error): nothing was kept.
        """
        return await self.post(work, then)

    def post(
        self, work: Callable[[sqlite3.Connection], T], then: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        """`write`, without waiting."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writer.put(Write(work, then, done))
        return done

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a read-only connection in a thread: it sees every write reported so far."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)
        except sqlite3.Error as error:
            if not is_trouble(error):
                raise
            log.error("the store could not be read: %s", error)
            raise StoreUnavailable() from error

    def close(self) -> None:
        """Finish the waiting writes and let go of the folder."""
        self._readers.shutdown()
        for connection in self._read_connections:
            connection.close()
        self._writer.close()
        self._unlock()

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if not hasattr(self._local, "connection"):
            self._local.connection = _connect(f"{self._path.absolute().as_uri()}?mode=ro", uri=True)
            self._read_connections.append(self._local.connection)
        return work(self._local.connection)

    def _open(self) -> sqlite3.Connection:
        fresh = not self._path.exists()
        if not fresh and self._was_made() and self._path.stat().st_size == 0:
            raise StoreDamaged()
        with _start_errors():
            connection = _connect(str(self._path))
            connection.executescript(_PRAGMAS)
            if not fresh:
                _check(connection)
            connection.execute(_MIGRATIONS)
        if fresh:
            _sync_folder(self._path.parent)
        return connection

    def _was_made(self) -> bool:
        return self._lock is not None and os.pread(self._lock, 1, 0) == _MADE

    def _mark_made(self) -> None:
        """Note in the lock file that the store exists: an empty file in its place is then no fresh start."""
        if self._lock is not None and not self._was_made():
            os.pwrite(self._lock, _MADE, 0)
            os.fsync(self._lock)

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)


@contextlib.contextmanager
def _start_errors() -> Iterator[None]:
    """What goes wrong while opening, in clear words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise StoreUnavailable() from error
    except sqlite3.DatabaseError as error:
        raise StoreDamaged() from error


def _connect(path: str, **options: Any) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, **options)
    connection.row_factory = sqlite3.Row
    return connection


def _check(connection: sqlite3.Connection) -> None:
    """Raise StoreDamaged unless SQLite finds the file whole."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise StoreDamaged()


def _lock(folder: Path) -> int:
    """Take the folder for this process; the lock goes with the process, however it ends."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable() from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StoreInUse() from None
    return handle


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
