"""What a webhook says: one dialect for each client's protocol, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from gateway.jobs.model import Job
from gateway.webhooks.identity import Identity


class Dialect(Protocol):
    """A door's words for the end of a job.

    name: what `gateway.jobs.model.Webhook.dialect` says. `body` is called anew for each attempt and must say the same.
    """

    name: str

    def body(self, job: Job) -> bytes:
        """The body of the POST, JSON. `job` has ended; its files' URLs are ones a receiver can use."""

    def headers(self, job: Job, body: bytes, at: int, identity: Identity) -> Mapping[str, str]:
        """Headers beside those every webhook has. at: Unix seconds of this attempt."""


class JsonDialect:
    """A dialect that is a JSON object and no headers of its own."""

    def __init__(self, name: str, say: Callable[[Job], Mapping[str, Any]]) -> None:
        self.name = name
        self._say = say

    def body(self, job: Job) -> bytes:
        return compact(self._say(job))

    def headers(self, job: Job, body: bytes, at: int, identity: Identity) -> Mapping[str, str]:
        return {}


def compact(value: Any) -> bytes:
    """JSON in UTF-8 without spaces. ValueError for what JSON cannot say (NaN)."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
