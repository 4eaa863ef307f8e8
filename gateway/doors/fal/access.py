"""Who may call: the gateway's keys, and tokens that stand for one for a while.

Python's client uploads with a token, pages in browsers stream with one.
"""

from __future__ import annotations

import time
from enum import StrEnum

from starlette.requests import Request

from gateway.gateway import Gateway
from gateway.keys.key import Principal, presented
from schemas.errors import Unauthorized

PREFIX = "fal_token_"


class Scope(StrEnum):
    """What a token opens."""

    CDN = "cdn"
    """Uploads."""
    APPS = "apps"
    """Calls of endpoints."""


def make_token(gateway: Gateway, principal: Principal, scope: Scope, expires_at: int) -> str:
    """A token for what `principal` may do within `scope` until `expires_at` (Unix seconds)."""
    subject = f"{principal.id}.{expires_at}"
    return f"{PREFIX}{subject}.{gateway.files.tokens.make(scope, subject)}"


async def identify(gateway: Gateway, request: Request, scope: Scope) -> Principal:
    """The bearer of the request's key or token. Raises Unauthorized."""
    secret = presented(request) or ""
    if not secret.startswith(PREFIX):
        return await gateway.keys.identify(request)
    subject, _, proof = secret.removeprefix(PREFIX).rpartition(".")
    owner, _, expires_at = subject.rpartition(".")
    # The proof first: only what we made ourselves is looked into.
    if not gateway.files.tokens.check(scope, subject, proof) or int(expires_at) <= time.time():
        raise Unauthorized
    return await gateway.keys.bearer(owner)
