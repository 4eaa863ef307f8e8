"""What time does to jobs: leases and deadlines end, old records go."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from gateway.jobs import transitions
from gateway.jobs.board import Board
from gateway.jobs.handout import Handout
from gateway.jobs.leases import Held
from gateway.jobs.model import Failure, State
from gateway.jobs.states import QUEUED
from gateway.jobs.store import Store
from gateway.jobs.transitions import SQL, End
from schemas.errors import ExecutionTimeout, FooocusError, StartTimeout, StoreUnavailable

TICK_S = 0.25
STALL_S = 1.0, 5.0
"""A pause between ticks above a quarter of a lease, within these bounds, is the gateway's own (suspended, starved):
deadlines move by it."""
EXPIRY_S = 30.0
EXPIRY_BATCH = 200

log = logging.getLogger(__name__)


class Sweep:
    """Ends what is over. `tick` and `expire` may be called at any time."""

    def __init__(self, store: Store, board: Board, handout: Handout) -> None:
        self._store = store
        self._board = board
        self._handout = handout
        self._last = board.clock.monotonic()
        least, most = STALL_S
        self._stall_s = max(least, min(most, board.policy.lease_s / 4))
        self.on_delete: list[Callable[[Sequence[str]], Awaitable[None]]] = []

    async def run(self) -> None:
        """Tick until cancelled."""
        expire_at = 0.0
        while True:
            try:
                await self.tick()
                if self._board.clock.monotonic() >= expire_at:
                    await self.expire()
                    expire_at = self._board.clock.monotonic() + EXPIRY_S
            except FooocusError as error:
                log.warning("sweep: %s", error)
            except Exception:
                log.exception("sweep")
            await asyncio.sleep(TICK_S)

    async def tick(self) -> None:
        """End leases and runs that are over, and jobs that did not start in time."""
        now = self._board.clock.monotonic()
        if now - self._last > self._stall_s:
            self._board.leases.shift(now - self._last)
        self._last = now
        over = [held for held in self._board.leases if held.expires <= now or held.ends <= now]
        late = self._board.late(now)
        await asyncio.gather(*map(self._end_run, over), *map(self._end_wait, late))

    async def expire(self) -> int:
        """Delete the records whose time is over and that no webhook still has to tell about; how many went."""
        gone = 0
        while ids := await self._expired():
            await self.delete(ids)
            gone += len(ids)
            if len(ids) < EXPIRY_BATCH:
                break
        return gone

    async def delete(self, ids: Sequence[str]) -> int:
        """Delete ended jobs; others learn of it by `on_delete`."""

        def work(connection: sqlite3.Connection) -> list[str]:
            return [job_id for job_id in ids if transitions.delete(connection, job_id)]

        def then(gone: list[str]) -> None:
            for job_id in gone:
                self._board.recent.drop(job_id)

        gone = await self._store.write(work, then)
        for tell in self.on_delete if gone else ():
            await tell(gone)
        return len(gone)

    async def _expired(self) -> list[str]:
        values = {"now": self._board.clock.time(), "limit": EXPIRY_BATCH}
        rows = await self._store.read(lambda connection: connection.execute(SQL["expired"], values).fetchall())
        return [row["id"] for row in rows]

    async def _end_run(self, held: Held) -> None:
        self._board.stop(held)
        if held.ends <= self._board.clock.monotonic():
            failure = Failure.of(ExecutionTimeout())
            lines = list(self._board.events.lines(held.ticket.id))
            await self._handout.end(held, End(State.FAILED, failure=failure, lines=lines))
        else:
            await self._handout.lose(held)

    async def _end_wait(self, job_id: str) -> None:
        how = End(State.FAILED, failure=Failure.of(StartTimeout()), lines=list(self._board.events.lines(job_id)))
        work = partial(transitions.end, job_id=job_id, how=how, now=self._board.clock.time(), among=QUEUED)
        try:
            await self._store.write(work, lambda row: row is not None and self._board.ended(row))
        except StoreUnavailable:
            self._board.late_again(job_id)
            raise
