"""fal's webhook: its payload, and the signature its receivers know (https://docs.fal.ai/model-endpoints/webhooks)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from gateway.jobs.model import Failure, Job
from gateway.webhooks.dialect import compact
from gateway.webhooks.identity import Identity


class FalDialect:
    """`{request_id, gateway_request_id, status, payload, error?, payload_error?}`, signed with Ed25519.

    payload: what a caller who asks for the job's result is given, output or error body. status: and with which status,
    if it failed.
    """

    name = "fal"

    def __init__(self, payload: Callable[[Job], Mapping[str, Any]], status: Callable[[Failure], int]) -> None:
        self._payload = payload
        self._status = status

    def body(self, job: Job) -> bytes:
        message = {"request_id": job.id, "gateway_request_id": job.id, **self._end(job)}
        try:
            return compact({**message, "payload": self._payload(job)})
        except (TypeError, ValueError):
            return compact({**message, "payload": None, "payload_error": "The payload cannot be written as JSON"})

    def headers(self, job: Job, body: bytes, at: int, identity: Identity) -> Mapping[str, str]:
        signed = "\n".join((job.id, job.owner, str(at), hashlib.sha256(body).hexdigest()))
        return {
            "X-Fal-Webhook-Request-Id": job.id,
            "X-Fal-Webhook-User-Id": job.owner,
            "X-Fal-Webhook-Timestamp": str(at),
            "X-Fal-Webhook-Signature": identity.sign(signed.encode()).hex(),
        }

    def _end(self, job: Job) -> dict[str, str]:
        if job.failure is None:
            return {"status": "OK"}
        return {"status": "ERROR", "error": f"Invalid status code: {self._status(job.failure)}"}
