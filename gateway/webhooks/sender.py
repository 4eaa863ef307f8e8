"""One attempt: the job in its dialect's words, signed, sent, and what the answer means."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from standardwebhooks import Webhook as StandardWebhook

from gateway.files.links import relink
from gateway.webhooks.egress import Egress, Unreachable
from gateway.webhooks.identity import Identity
from gateway.webhooks.model import Delivery
from gateway.webhooks.target import Refused, parse
from gateway.webhooks.verdict import Verdict, judge

if TYPE_CHECKING:
    from gateway.files.files import Files
    from gateway.jobs.jobs import Jobs
    from gateway.jobs.model import Job
    from gateway.webhooks.dialect import Dialect

log = logging.getLogger(__name__)

USER_AGENT = "fooocus-worker-webhooks"


class Sender:
    """Makes requests of deliveries.

    dialects: by name. base_url: where the receivers of a job read its pictures.
    """

    def __init__(
        self,
        jobs: Jobs,
        files: Files,
        egress: Egress,
        identity: Identity,
        base_url: Callable[[Job], str],
        clock: Callable[[], float],
    ) -> None:
        self.dialects: dict[str, Dialect] = {}
        self._jobs, self._files = jobs, files
        self._egress, self._identity = egress, identity
        self._base_url, self._clock = base_url, clock

    async def send(self, delivery: Delivery, timeout_s: float) -> Verdict:
        """Try once."""
        job = await self._jobs.get(delivery.job_id)
        dialect = self.dialects.get(delivery.dialect)
        if job is None or dialect is None:
            return Verdict(error="There is nothing to tell any more")
        try:
            target = parse(delivery.url)
            body = dialect.body(await self._relinked(job))
            headers = self._headers(delivery, dialect, job, body)
            return judge(await self._egress.post(target, headers, body, timeout_s), self._clock())
        except Refused as refusal:
            return Verdict(error=str(refusal))
        except Unreachable as trouble:
            return Verdict(error=str(trouble), final=False)
        except Exception:
            log.exception("webhook of job %s: the message could not be made", job.id)
            return Verdict(error="The message could not be made")

    def _headers(self, delivery: Delivery, dialect: Dialect, job: Job, body: bytes) -> Mapping[str, str]:
        """Standard Webhooks' headers (https://www.standardwebhooks.com) beside the dialect's own."""
        at = datetime.fromtimestamp(int(self._clock()), UTC)
        signer = StandardWebhook(self._identity.secret(job.owner))
        return {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signer.sign(delivery.id, at, body.decode()),
            **dialect.headers(job, body, int(at.timestamp()), self._identity),
        }

    async def _relinked(self, job: Job) -> Job:
        """The job with its pictures at the address receivers know us by."""
        if job.output is None:
            return job
        return replace(job, output=await relink(self._files, job.output, self._base_url(job)))
