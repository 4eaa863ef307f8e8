"""The outbox's clerk: reads what is to be told, tells it, writes down what came of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.webhooks import rows
from gateway.webhooks.agenda import Agenda, Entry
from gateway.webhooks.egress import Egress
from gateway.webhooks.identity import Identity
from gateway.webhooks.model import Attempt, Delivery, DeliveryState
from gateway.webhooks.policy import Policy
from gateway.webhooks.sender import Sender
from gateway.webhooks.target import Refused, parse
from gateway.webhooks.verdict import Verdict

if TYPE_CHECKING:
    from gateway.files.files import Files
    from gateway.jobs.jobs import Jobs
    from gateway.jobs.model import Job
    from gateway.jobs.store import Store
    from gateway.webhooks.dialect import Dialect

log = logging.getLogger(__name__)

RESCAN_S = 30.0
"""How often the outbox is read whole: what a lost wake-up would have told."""

_STORE_TROUBLE_S = 5.0


class Webhooks:
    """Delivers at least once, under the same id, until the receiver takes it or the policy ends.

    base_url: where a job's receivers reach this gateway, for URLs of pictures. folder: of the signing keys. clock: Unix
    seconds. Call `start` in the event loop that serves, `stop` at the end: what was under way is tried again later.
    """

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        files: Files,
        egress: Egress,
        *,
        folder: Path,
        base_url: Callable[[Job], str],
        policy: Policy | None = None,
        clock: Callable[[], float] = time.time,
        draw: random.Random | None = None,
    ) -> None:
        store.migrate("webhooks", rows.MIGRATIONS)
        self.identity = Identity(folder)
        self._store = store
        self._egress = egress
        self._policy = policy or Policy()
        self._clock = clock
        self._draw = draw or random.Random()
        self._sender = Sender(jobs, files, egress, self.identity, base_url, clock)
        self._agenda = Agenda(self._policy)
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._clerk: asyncio.Task[None] | None = None
        jobs.on_end(self._ended)

    def register(self, dialect: Dialect) -> None:
        """Make a dialect known; a door does this for the one its jobs name."""
        self._sender.dialects[dialect.name] = dialect

    async def start(self) -> None:
        """Take up what an earlier process left, then deliver in the background."""
        await self._rescan()
        self._clerk = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Break off what is under way."""
        tasks = [*self._tasks, *([self._clerk] if self._clerk else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._egress.close()

    def jwks(self) -> dict[str, Any]:
        """The public key as a JSON Web Key Set, for receivers of fal's dialect."""
        return self.identity.jwks()

    async def of_job(self, job_id: str) -> tuple[list[Delivery], list[Attempt]]:
        """The deliveries of a job and all their attempts."""
        return await self._store.read(
            lambda connection: (
                rows.deliveries(connection, "of_job", job_id=job_id),
                rows.attempts(connection, job_id),
            )
        )

    async def again(self, job_id: str, delivery_id: str) -> Delivery | None:
        """Deliver once more, from the start of the policy. None: no such delivery, or it is pending anyway."""
        values = {"id": delivery_id, "job_id": job_id, "now": self._clock()}
        found = await self._store.write(lambda connection: rows.deliveries(connection, "again", **values))
        self._plan(found)
        return found[0] if found else None

    @property
    def pending(self) -> int:
        """How many deliveries wait or are under way."""
        return len(self._agenda)

    def _ended(self, job: Job) -> None:
        if job.webhooks:
            self._spawn(self._watched(self._plan_job(job.id)))

    async def _plan_job(self, job_id: str) -> None:
        self._plan(await self._store.read(partial(rows.deliveries, query="of_job", job_id=job_id)))

    async def _rescan(self) -> None:
        self._plan(await self._store.read(partial(rows.deliveries, query="pending")))

    def _plan(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            if delivery.state is DeliveryState.PENDING:
                self._agenda.add(_entry(delivery))
        self._wake.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        scan_at = self._clock() + RESCAN_S
        while True:
            self._wake.clear()
            for entry in self._agenda.take(self._clock()):
                self._spawn(self._attempt(entry))
            await self._sleep(scan_at)
            if self._clock() >= scan_at:
                scan_at = self._clock() + RESCAN_S
                self._spawn(self._watched(self._rescan()))

    async def _sleep(self, until: float) -> None:
        due = self._agenda.next_due()
        wait_s = (until if due is None else min(due, until)) - self._clock()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(wait_s, 0.0)):
                await self._wake.wait()

    async def _attempt(self, entry: Entry) -> None:
        """One attempt; whatever happens, the agenda hears of its end."""
        later: Entry | None = Entry(self._clock() + _STORE_TROUBLE_S, entry.id, entry.target, entry.first)
        try:
            later = await self._deliver(entry)
        except Exception:
            # Nothing was written down, so it counts as not tried.
            log.exception("webhooks: the outbox could not be read or written")
        finally:
            self._agenda.done(entry, later)
            self._wake.set()

    async def _watched(self, reading: Coroutine[Any, Any, None]) -> None:
        try:
            await reading
        except Exception:
            # The next scan makes up for it.
            log.exception("webhooks: the outbox could not be read")

    async def _deliver(self, entry: Entry) -> Entry | None:
        found = await self._store.read(partial(rows.deliveries, query="delivery", id=entry.id))
        if not found or found[0].state is not DeliveryState.PENDING:
            return None
        delivery, started, began = found[0], self._clock(), time.monotonic()
        verdict = await self._sender.send(delivery, self._policy.timeout(delivery.attempts))
        attempt = Attempt(
            delivery_id=delivery.id,
            at=started,
            seconds=time.monotonic() - began,
            status=verdict.status,
            error=verdict.error,
        )
        state, next_at = self._follows(delivery.attempts + 1, verdict)
        await self._store.write(lambda connection: rows.settle(connection, attempt, state, next_at))
        if state is DeliveryState.FAILED:
            log.warning("webhook of job %s given up: %s", delivery.job_id, verdict.error)
        return Entry(next_at, entry.id, entry.target, False) if state is DeliveryState.PENDING else None

    def _follows(self, attempts: int, verdict: Verdict) -> tuple[DeliveryState, float]:
        now = self._clock()
        if verdict.error is None:
            return DeliveryState.DELIVERED, now
        delay = None if verdict.final else self._policy.delay(attempts, verdict.wait_s, self._draw)
        return (DeliveryState.FAILED, now) if delay is None else (DeliveryState.PENDING, now + delay)


def _entry(delivery: Delivery) -> Entry:
    try:
        target = parse(delivery.url).authority
    except Refused:
        target = ""
    return Entry(delivery.next_at, delivery.id, target, delivery.attempts == 0)
