"""Pictures from where the endpoint put them, over the same guarded way out as webhooks."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import certifi
import httpcore2

from gateway.webhooks.egress import CheckedNetwork, Unreachable
from gateway.webhooks.target import Refused, parse

TIMEOUT_S = 120.0
_STEP_S = 30.0


class NotFetched(Exception):
    """The picture cannot be had. The text says why, without its address."""


class Downloads:
    """GETs of what a result's URLs name.

    Only addresses of the public internet are connected to; those of `origin`, the endpoint's own `scheme://host:port`,
    may be private: the operator named it. Redirects are not followed. The caller bounds the size.
    """

    def __init__(self, origin: str) -> None:
        self._home = _origin(origin)
        tls = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE") or certifi.where())
        self._networks = [CheckedNetwork(private) for private in (False, True)]
        self._pools = [httpcore2.AsyncConnectionPool(tls, network_backend=network) for network in self._networks]

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The content of `url`. Raises NotFetched, also from inside while it is read."""
        steps = dict.fromkeys(("connect", "read", "write", "pool"), _STEP_S)
        try:
            pool = self._pools[_origin(url) == self._home]
            async with (
                asyncio.timeout(TIMEOUT_S),
                pool.stream("GET", url, headers={"Accept-Encoding": "identity"}, extensions={"timeout": steps}) as got,
            ):
                if got.status != 200:
                    raise NotFetched(f"its storage answered HTTP {got.status}")
                yield got.aiter_stream()
        except (Refused, Unreachable) as error:
            raise NotFetched(str(error)) from None
        except (TimeoutError, OSError, httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException):
            raise NotFetched("its storage did not answer") from None

    async def close(self) -> None:
        for pool, network in zip(self._pools, self._networks, strict=True):
            await pool.aclose()
            network.close()


def _origin(url: str) -> tuple[str, str, int]:
    target = parse(url)
    return target.scheme, target.host, target.port
