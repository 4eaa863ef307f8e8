"""What a key is, who its bearer is, and where a request carries it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from starlette.requests import HTTPConnection

PREFIX = "fooocus_"
"""How every key begins, so that a leaked one can be found by searching for it."""

_SCHEMES = ("key", "bearer")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is asking. `id` owns jobs and files. Limits: 0 means none."""

    id: str
    jobs_per_minute: int
    max_waiting: int


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept. Limits of None: the gateway's settings."""

    id: str
    name: str
    hash: bytes
    jobs_per_minute: int | None
    max_waiting: int | None
    created_at: float
    revoked_at: float | None

    def opens_with(self, secret: str) -> bool:
        """Whether `secret` is this key. Takes the same time for every wrong one."""
        return hmac.compare_digest(self.hash, digest(secret)) and self.revoked_at is None


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def draw() -> tuple[str, str]:
    """(id, the whole key): 256 bits from the kernel behind the id."""
    key_id = secrets.token_hex(4)
    return key_id, f"{PREFIX}{key_id}_{secrets.token_hex(32)}"


def id_of(secret: str) -> str:
    """The id a key names; empty when it is not one of ours."""
    return secret[len(PREFIX) :].partition("_")[0] if secret.startswith(PREFIX) else ""


def presented(request: HTTPConnection) -> str | None:
    """The key of a request: `Authorization: Key x`, `Bearer x` or `x`, `X-API-KEY: x` or `?fal_jwt_token=x`."""
    authorization = request.headers.get("authorization", "").strip()
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() in _SCHEMES:
        authorization = rest.strip()
    return authorization or request.headers.get("x-api-key") or request.query_params.get("fal_jwt_token")
