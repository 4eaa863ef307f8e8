"""Clients and workers that keep the server busy and write down what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from tests.gateway.crash.history import History

CLIENTS = 12
WORKERS = 10

STUCK_S = 60.0
"""A job that takes longer than this to end, with workers at hand and leases of a fraction of it, is stuck."""


class Gone(Exception):
    """The server died before it answered."""


class Connection:
    """One client's connection to the server."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, *request: Any) -> Any:
        """The answer; None when the server refused. Raises Gone."""
        return (await self.request(*request)).get("answer")

    async def request(self, *request: Any) -> dict[str, Any]:
        """The answer under `answer`, or the code of the refusal under `error`. Raises Gone."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_unix_connection(str(self._socket), limit=2**26)
            reader, writer = self._streams
            writer.write(json.dumps(request).encode() + b"\n")
            line = await reader.readline()
        except OSError as error:
            raise Gone() from error
        if not line.endswith(b"\n"):
            raise Gone()
        return json.loads(line)

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with contextlib.suppress(OSError):
                await self._streams[1].wait_closed()


class Load:
    """The people and machines around one server. `lazy` workers let leases end and post late; those that draw store
    a picture before they finish."""

    def __init__(
        self, socket: Path, history: History, rng: random.Random, *, lazy: bool = True, draws: bool = False
    ) -> None:
        self._socket = socket
        self._history = history
        self._rng = rng
        self._lazy = lazy
        self._draws = draws
        self._held: dict[str, str] = {}

    async def run(self, *, clients: int = CLIENTS) -> None:
        """Go on until the server dies or the task is cancelled; workers then keep what they had taken."""
        survivors = dict(self._held)
        self._held.clear()
        everyone: list[Coroutine[Any, Any, None]] = [self._client(number) for number in range(clients)]
        everyone += [self._worker(f"w{number}") for number in range(WORKERS)]
        everyone += [self._survivor(lease, name) for lease, name in survivors.items()]
        await asyncio.gather(*everyone)

    async def until_finished(self, results: int) -> None:
        """Return once that many results were accepted, or after STUCK_S."""
        until = time.monotonic() + STUCK_S
        while time.monotonic() < until and self._history.results() < results:
            await asyncio.sleep(0.01)

    async def _client(self, number: int) -> None:
        connection = Connection(self._socket)
        try:
            while True:
                await self._submit(connection, f"owner{number % 3}")
        except Gone:
            pass
        finally:
            await connection.close()

    async def _submit(self, connection: Connection, owner: str) -> None:
        key = f"{self._rng.getrandbits(64):x}" if self._rng.random() < 0.3 else None
        text = "x" * self._rng.choice((10, 300, 3000))
        for _ in range(2 if key else 1):
            job_id = await connection.ask("submit", owner, key, text)
            if job_id is not None:
                self._history.submitted(job_id, key)
        if job_id is not None and self._rng.random() < 0.1:
            await asyncio.sleep(self._rng.random() * 0.05)
            if await connection.ask("cancel", job_id) in ("dropped", "stopping"):
                self._history.cancelled.add(job_id)

    async def _worker(self, name: str) -> None:
        connection = Connection(self._socket)
        try:
            while True:
                asked = await connection.ask("take", name, self._rng.choice((1, 1, 4))) or []
                for lease in asked:
                    self._history.taken(lease, time.monotonic())
                for lease in asked:
                    self._held[lease] = name
                for lease in asked:
                    await self._work(connection, name, lease)
        except Gone:
            pass
        finally:
            await connection.close()

    async def _work(self, connection: Connection, name: str, lease: str) -> None:
        chance = self._rng.random()
        if chance < 0.05:
            await connection.ask("give_back", lease)
            return
        if self._lazy and chance < 0.3:
            await asyncio.sleep(0.2 + 0.6 * self._rng.random())
        elif chance < 0.4:
            await connection.ask("report", lease, name)
        await self._finish(connection, name, lease)

    async def _survivor(self, lease: str, name: str) -> None:
        """A worker that outlived the server posts to the next one."""
        connection = Connection(self._socket)
        try:
            await asyncio.sleep(self._rng.random())
            await self._finish(connection, name, lease)
        except Gone:
            pass
        finally:
            await connection.close()

    async def _finish(self, connection: Connection, name: str, lease: str) -> None:
        asked_at = time.monotonic()
        self._held.pop(lease, None)
        try:
            accepted = await connection.ask("finish", lease, name, self._draws)
        except Gone:
            self._history.finished(lease, asked_at, None)
            raise
        self._history.finished(lease, asked_at, accepted)


async def settle(socket: Path, history: History) -> dict[str, Any]:
    """Work off everything with diligent workers; then, with nobody at work any more, the store's dump."""
    connection = Connection(socket)
    load = Load(socket, history, random.Random(0), lazy=False)
    working = asyncio.create_task(load.run(clients=0))
    try:
        await _until_no_job_ends(connection)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    dump = await connection.ask("dump")
    await connection.close()
    return dump


async def _until_no_job_ends(connection: Connection) -> None:
    """Return when all jobs have ended, or when none has for STUCK_S."""
    fewest, until = 10**9, time.monotonic() + STUCK_S
    while time.monotonic() < until and fewest:
        dump = await connection.ask("dump")
        live = sum(state in ("queued", "running") for state, _, _ in dump["jobs"].values())
        if live < fewest:
            fewest, until = live, time.monotonic() + STUCK_S
        await asyncio.sleep(0.1)
