"""One request of a worker as the SDK makes it: `&name=value` lands in the path when its URL template had no `?`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request

from schemas.errors import BadRequest

_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class Call:
    """operation: `job-take` and so on. worker: its name. lease: the id of the job, as the worker knows it."""

    operation: str
    worker: str
    lease: str
    query: dict[str, str]


def read_call(path: str, request: Request) -> Call:
    """The call of `operation/worker[/job][&name=value…]`. Raises BadRequest for names that cannot be ones."""
    plain, _, appended = path.partition("&")
    operation, worker, lease, *rest = [*plain.strip("/").split("/"), "", ""]
    if any(rest) or not _NAME.fullmatch(worker) or (lease and not _NAME.fullmatch(lease)):
        raise BadRequest("The path names no worker and job")
    return Call(operation, worker, lease, {**dict(request.query_params), **dict(parse_qsl(appended))})
