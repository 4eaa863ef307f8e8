"""The only way out of the gateway: one POST to an address that was looked at first.

The name is resolved once, every address it has must be permitted, and the connection goes to one of those; Host and
the TLS certificate are still those of the name. Redirects are not followed, proxies of the environment not used.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import certifi
import httpcore2

from gateway.webhooks.addresses import is_permitted
from gateway.webhooks.target import Refused, Target

MAX_ANSWER = 64 * 1024
"""Bytes of an answer's body that are read, and thrown away."""

DRAIN_S = 1.0
"""How long an answer's body is listened to: its status is known already."""

RESOLVERS = 64
"""Names looked up at a time; a lookup may hang for as long as the system's resolver pleases."""


class Unreachable(Exception):
    """No answer this time. The text names the step that failed and nothing of what the other side said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """status: of HTTP. retry_after: the header's text, if there is one."""

    status: int
    retry_after: str | None


class Egress:
    """Sends webhooks.

    allow_private: to loopback and private networks too. ca_file: certificates to trust; None means those of the
    environment's `SSL_CERT_FILE`, else the usual ones.
    """

    def __init__(self, *, allow_private: bool = False, ca_file: str | None = None) -> None:
        self._backend = CheckedNetwork(allow_private)
        self._tls = ssl.create_default_context(cafile=ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where())

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Answer:
        """POST `body` and return what was answered.

        timeout_s: for everything up to the status line. Raises Refused for an address that is not permitted,
        Unreachable when there is no answer.
        """
        pool = httpcore2.AsyncConnectionPool(self._tls, network_backend=self._backend)
        try:
            async with asyncio.timeout(timeout_s):
                response = await pool.handle_async_request(_request(target, headers, body))
            await _drain(response)
        except TimeoutError:
            raise Unreachable(f"No answer within {timeout_s:g} seconds") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException, OSError) as error:
            raise Unreachable(_step(error)) from None
        finally:
            with contextlib.suppress(Exception):
                await pool.aclose()
        retry_after = next((value for name, value in response.headers if name.lower() == b"retry-after"), None)
        return Answer(response.status, retry_after and retry_after.decode("latin-1"))

    def close(self) -> None:
        self._backend.close()


def _request(target: Target, headers: Mapping[str, str], body: bytes) -> httpcore2.Request:
    own = {
        "Host": target.authority,
        "Content-Length": str(len(body)),
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.request)
    return httpcore2.Request("POST", url, headers=[*own.items(), *headers.items()], content=body)


async def _drain(response: httpcore2.Response) -> None:
    """Let a receiver finish its answer, within bounds."""
    left = MAX_ANSWER
    with contextlib.suppress(TimeoutError, httpcore2.NetworkError, httpcore2.ProtocolError):
        async with asyncio.timeout(DRAIN_S):
            async for piece in response.aiter_stream():
                left -= len(piece)
                if left <= 0:
                    break
    with contextlib.suppress(Exception):
        await response.aclose()


def _step(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return "The TLS handshake failed"
        seen = seen.__cause__ or seen.__context__
    failed = isinstance(error, httpcore2.ConnectError | httpcore2.ConnectTimeout)
    return "The connection failed" if failed else "The connection broke before an answer came"


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to names whose every address is permitted, at the address that was looked at."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._inner = httpcore2.AnyIOBackend()
        self._threads = ThreadPoolExecutor(RESOLVERS, "webhook-names")

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._addresses(host, port)
        if not all(is_permitted(address, allow_private=self._allow_private) for address in addresses):
            raise Refused(
                "The webhook's host is not on the public internet; the gateway's operator can allow private networks"
            )
        for address in addresses[:-1]:
            with contextlib.suppress(httpcore2.ConnectError):
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
        return await self._inner.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def _addresses(self, host: str, port: int) -> list[str]:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        except (OSError, UnicodeError):
            raise Unreachable("The host name could not be resolved") from None
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
