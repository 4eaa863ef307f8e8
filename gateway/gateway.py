"""The one thing every door gets."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gateway.jobs.model import Job, LogLine, NewJob
from gateway.keys.key import Principal
from schemas.errors import FooocusError, StoreUnavailable

if TYPE_CHECKING:
    from gateway.auth import Keys
    from gateway.files.files import Files
    from gateway.fleet.fleet import Fleet
    from gateway.jobs.jobs import Jobs
    from gateway.settings import Settings
    from gateway.webhooks.webhooks import Webhooks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gateway:
    """The parts behind the doors."""

    settings: Settings
    jobs: Jobs
    files: Files
    keys: Keys
    webhooks: Webhooks
    fleet: Fleet

    async def submit(self, principal: Principal, new: NewJob) -> Job:
        """Accept a job of a client: every door submits through here.

        It becomes the client's own, within the limits of its key; big pictures in its input move to the file store,
        and files it refers to are kept as long as it is. An idempotency key that was used before gives its job again,
        whatever the limits. Raises RateLimited, QueueFull, and what `Jobs.submit` and `Files.add` raise;
        StoreUnavailable also while the disk has no room for pictures.
        """
        new = replace(new, owner=principal.id)
        known = await self._known(new)
        if known is not None:
            return known
        if not self.files.disk.has_room():
            raise StoreUnavailable
        with self.keys.admitted(principal, self.jobs.waiting_of(principal.id)):
            input = await self.files.spill(new.input, principal.id)
            job, is_new = await self.jobs.enter(replace(new, input=input))
            if is_new:
                self._note(job)
        # The job is accepted whatever happens now; its files live for a while without being held.
        with contextlib.suppress(StoreUnavailable):
            await self.files.hold(job.id, input, principal.id)
        return job

    async def refuse(self, principal: Principal, new: NewJob, error: FooocusError) -> Job:
        """Record a job of a client that failed before it could wait, within the limits of its key but for those of
        waiting. Raises RateLimited, and what `Jobs.fail_at_once` raises.
        """
        new = replace(new, owner=principal.id)
        known = await self._known(new)
        if known is not None:
            return known
        with self.keys.admitted(principal, 0):
            return await self.jobs.fail_at_once(new, error)

    async def _known(self, new: NewJob) -> Job | None:
        """The job that the idempotency key gave before. Raises IdempotencyConflict."""
        if new.idempotency_key is None:
            return None
        return await self.jobs.known(replace(new, input=await self.files.spill(new.input, new.owner)))

    def _note(self, job: Job) -> None:
        """The first line of a job's log, and one in ours."""
        log.info("A job was accepted", extra={"job": job.id})
        ahead = self.jobs.position(job.id)
        text = f"Queued with {ahead} job{'' if ahead == 1 else 's'} ahead"
        if not self.fleet.workers.warm():
            text += "; a worker is loading its model" if self.settings.workers else "; no worker is here yet"
        self.jobs.log(job.id, LogLine(time.time(), "INFO", text))
