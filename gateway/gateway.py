"""The one thing every door gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.auth import Keys
    from gateway.files.files import Files
    from gateway.fleet.fleet import Fleet
    from gateway.jobs.jobs import Jobs
    from gateway.jobs.model import Job, NewJob
    from gateway.keys.key import Principal
    from gateway.settings import Settings
    from gateway.webhooks.webhooks import Webhooks


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
        """Accept a job of a client, within the limits of its key. Every door submits through here.

        Raises RateLimited, and what `Jobs.submit` raises.
        """
        self.keys.admit(principal)
        return await self.jobs.submit(new)
