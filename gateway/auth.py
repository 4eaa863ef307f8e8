"""Who may come in: keys of clients. (Workers have tokens of their own: `gateway.fleet.tokens`.)"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from gateway.hosts import is_loopback
from gateway.keys import table
from gateway.keys.key import Key, Principal, digest, id_of, presented
from gateway.keys.limits import Rates
from gateway.settings import Settings
from schemas.errors import QueueFull, RateLimited, Unauthorized

if TYPE_CHECKING:
    from gateway.jobs.store import Store

_FRESH_S = 1.0
_TRY_AGAIN_S = 10
_PLAIN = "apikey"
_NOBODY = Key("", "", digest(""), None, None, 0.0, 0.0)

LOCAL = "local"
"""The owner of everything on a gateway without keys."""


class Keys:
    """The keys in use. Those made or revoked by another process count within a second."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._rates = Rates()
        self._entering: Counter[str] = Counter()
        self._loaded_at = -_FRESH_S
        self._by_id: dict[str, Key] = {}
        store.migrate("keys", table.SCHEMA)

    async def start(self) -> None:
        """Read the keys. Call once the store is open."""
        await self._refresh()

    @property
    def exist(self) -> bool:
        """Whether there is any key, or ever was: revoking the last one opens nothing."""
        return bool(self._by_id) or self._settings.apikey is not None

    @property
    def required(self) -> bool:
        """Whether a request needs a key: unless there are none and only this machine can ask."""
        return self.exist or not is_loopback(self._settings.host)

    async def identify(self, request: HTTPConnection) -> Principal:
        """The bearer of the request's key. Raises Unauthorized."""
        await self._refresh()
        if not self.required:
            return self._principal(LOCAL)
        secret = presented(request)
        if not secret:
            raise Unauthorized
        if self._is_plain(secret):
            return self._principal(_PLAIN)
        key = self._by_id.get(id_of(secret), _NOBODY)
        if not key.opens_with(secret):
            raise Unauthorized
        return self._principal(key.id, key.jobs_per_minute, key.max_waiting)

    async def bearer(self, key_id: str) -> Principal:
        """The bearer of the key of this id, for a token made in its name. Raises Unauthorized once it is revoked."""
        await self._refresh()
        if not self.required:
            return self._principal(LOCAL)
        if key_id == _PLAIN and self._settings.apikey is not None:
            return self._principal(_PLAIN)
        key = self._by_id.get(key_id, _NOBODY)
        if key is _NOBODY or key.revoked_at is not None:
            raise Unauthorized
        return self._principal(key.id, key.jobs_per_minute, key.max_waiting)

    @contextmanager
    def admitted(self, principal: Principal, waiting: int) -> Iterator[None]:
        """While one job of a client is being accepted, who has `waiting` jobs in the queue by now.

        Raises QueueFull and RateLimited when its key allows no more.
        """
        entering = self._entering[principal.id]
        if principal.max_waiting and waiting + entering >= principal.max_waiting:
            raise QueueFull(_TRY_AGAIN_S)
        wait_s = self._rates.spend(principal.id, principal.jobs_per_minute)
        if wait_s:
            raise RateLimited(wait_s)
        self._entering[principal.id] += 1
        try:
            yield
        finally:
            self._entering[principal.id] -= 1

    def _is_plain(self, secret: str) -> bool:
        plain = self._settings.apikey
        return plain is not None and Key(_PLAIN, "", digest(plain.get_secret_value()), 0, 0, 0, None).opens_with(secret)

    def _principal(self, key_id: str, per_minute: int | None = None, waiting: int | None = None) -> Principal:
        settings = self._settings
        return Principal(
            key_id,
            settings.key_jobs_per_minute if per_minute is None else per_minute,
            settings.key_max_waiting if waiting is None else waiting,
        )

    async def _refresh(self) -> None:
        if time.monotonic() - self._loaded_at < _FRESH_S:
            return
        self._loaded_at = time.monotonic()
        self._by_id = {key.id: key for key in await table.every(self._store)}
