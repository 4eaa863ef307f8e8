"""One HTTP/1.1 GET over a socket that is already connected to a checked address.

`http.client` is given the open socket, so it never resolves a name, reads a proxy setting, keeps a cookie or
a password, or reconnects. Certificate and SNI are those of the name in the URL.
"""

from __future__ import annotations

import functools
import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import certifi

from handler.media.pace import Pace
from handler.media.policy import FetchPolicy
from handler.media.urls import Target

USER_AGENT = "fooocus-worker"
MAX_ADDRESSES = 4
"""Addresses of one name that are tried."""


class _Paced:
    """Lets every receive take only as long as the download's limits still allow."""

    pace: Pace

    def recv_into(self, buffer: Any, *args: Any) -> int:
        self.settimeout(self.pace.patience())  # type: ignore[attr-defined]
        received: int = super().recv_into(buffer, *args)  # type: ignore[misc]
        self.pace.count(received)
        return received


class _PacedSocket(_Paced, socket.socket):
    pass


class _PacedTLSSocket(_Paced, ssl.SSLSocket):
    pass


@contextmanager
def get(target: Target, addresses: Sequence[str], policy: FetchPolicy, deadline: float) -> Iterator[HTTPResponse]:
    """Send a GET to the first of `addresses` that takes a connection and yield its response, headers read.

    deadline: `time.monotonic()` at which the whole download ends. OSError or http.client.HTTPException when
    there is no usable answer in time. The connection is closed on leaving.
    """
    with closing(_connect(target, addresses, min(deadline, time.monotonic() + policy.connect_s))) as sock:
        sock.pace = Pace(deadline, policy.first_byte_s, policy.min_bytes_per_s)
        sock.settimeout(sock.pace.patience())
        client = HTTPConnection(target.host, target.port)
        client.auto_open = 0
        client.sock = sock
        client.putrequest("GET", target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in _headers(target):
            client.putheader(name, value)
        client.endheaders()
        with closing(client.getresponse()) as response:
            yield response


def _headers(target: Target) -> list[tuple[str, str]]:
    return [
        ("Host", target.authority),
        ("User-Agent", USER_AGENT),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]


def _connect(target: Target, addresses: Sequence[str], until: float) -> _PacedSocket | _PacedTLSSocket:
    """Try the addresses in order; each gets an equal share of what is left of the time."""
    failure: OSError = OSError("no address")
    candidates = addresses[:MAX_ADDRESSES]
    for position, address in enumerate(candidates):
        share = (until - time.monotonic()) / (len(candidates) - position)
        try:
            return _connect_to(target, address, share)
        except OSError as error:
            failure = error
    raise failure


def _connect_to(target: Target, address: str, seconds: float) -> _PacedSocket | _PacedTLSSocket:
    until = time.monotonic() + seconds
    sock = _PacedSocket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        _allow_until(sock, until)
        sock.connect((address, target.port))
        if target.scheme == "http":
            return sock
        _allow_until(sock, until)
        context = _tls_context(os.environ.get("SSL_CERT_FILE"))
        return context.wrap_socket(sock, server_hostname=target.host)  # type: ignore[return-value]
    except BaseException:
        sock.close()
        raise


def _allow_until(sock: socket.socket, until: float) -> None:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time left to connect")
    sock.settimeout(left)


@functools.lru_cache(maxsize=4)
def _tls_context(_authorities: str | None) -> ssl.SSLContext:
    """Trust the system's authorities, which an operator changes with SSL_CERT_FILE, and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    context.sslsocket_class = _PacedTLSSocket
    return context
