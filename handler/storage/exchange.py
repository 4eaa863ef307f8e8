"""One HTTP/1.1 request over a socket of its own, to an address that was checked, in bounded time.

`http.client` is given the open socket, so it never resolves a name, follows a redirect, reads a proxy setting
or reconnects. Certificate and SNI are those of the name in the URL.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

import certifi

from handler.media.urls import Target
from handler.storage.patience import Patience

USER_AGENT = "fooocus-worker"
MAX_ADDRESSES = 4
"""Addresses of one name that are tried."""
MAX_ANSWER = 1 << 16
"""Bytes of an answer that are read."""

_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent. body and headers stay out of the repr: they hold pictures and secrets."""

    method: str
    target: Target = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; body: at most MAX_ANSWER bytes."""

    status: int
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later. S3 answers 400 RequestTimeout to a stalled body."""
        if self.status == 400:
            return b"<Code>RequestTimeout</Code>" in self.body
        return self.status >= 500 or self.status in (408, 425, 429)


def exchange(request: Request, addresses: Sequence[str], patience: Patience, deadline: float) -> Answer:
    """Send `request` to the first of `addresses` that takes a connection and return the answer.

    deadline: `time.monotonic()` at which everything ends, however slowly bytes trickle. OSError or
    http.client.HTTPException when there is no complete answer by then.
    """
    with _Alarm(deadline) as alarm, contextlib.closing(_open(request.target, addresses, patience, alarm)) as sock:
        sock.settimeout(patience.silence_s)
        answer = _converse(sock, request)
        alarm.left()
        return answer


class _Alarm:
    """Ends a connection at a deadline from a thread of its own.

    Socket timeouts start again with every byte, so a peer that sends one now and then escapes them.
    """

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._timer = threading.Timer(self.left(), self._ring)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._sock: socket.socket | None = None

    def __enter__(self) -> _Alarm:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._sock = None

    def left(self) -> float:
        """Seconds (> 0) until the deadline. TimeoutError when it has passed."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time left")
        return left

    def watch(self, sock: socket.socket) -> None:
        """End `sock`, and no other, at the deadline."""
        with self._lock:
            self._sock = sock
        self.left()

    def _ring(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._sock is not None:
                # An SSLSocket's own shutdown would first throw its TLS state away under the reading thread.
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)


def _open(target: Target, addresses: Sequence[str], patience: Patience, alarm: _Alarm) -> socket.socket:
    """A connected socket, TLS agreed if the scheme wants it, watched by the alarm."""
    sock = _connect(target, addresses, patience, alarm)
    try:
        alarm.watch(sock)
        if target.scheme == "https":
            context = _tls_context(os.environ.get("SSL_CERT_FILE"))
            sock.settimeout(min(patience.connect_s, alarm.left()))
            sock = context.wrap_socket(sock, server_hostname=target.host, do_handshake_on_connect=False)
            alarm.watch(sock)
            sock.do_handshake()
        return sock
    except BaseException:
        sock.close()
        raise


def _connect(target: Target, addresses: Sequence[str], patience: Patience, alarm: _Alarm) -> socket.socket:
    """Try the addresses in order; each gets an equal share of the time to connect."""
    failure: OSError = OSError("no address")
    candidates = addresses[:MAX_ADDRESSES]
    for address in candidates:
        share = min(patience.connect_s, alarm.left()) / len(candidates)
        try:
            return socket.create_connection((address, target.port), timeout=share)
        except OSError as error:
            failure = error
    raise failure


@functools.lru_cache(maxsize=4)
def _tls_context(_authorities: str | None) -> ssl.SSLContext:
    """Trust the system's authorities, which an operator changes with SSL_CERT_FILE, and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _converse(sock: socket.socket, request: Request) -> Answer:
    client = HTTPConnection(request.target.host, request.target.port)
    client.auto_open = 0
    client.sock = sock
    _send(client, request)
    with contextlib.closing(client.getresponse()) as response:
        body = response.read(MAX_ANSWER)
        if response.length and len(body) < MAX_ANSWER:
            raise HTTPException("the answer ended early")
        return Answer(response.status, body)


def _send(client: HTTPConnection, request: Request) -> None:
    """Send head and body. A server that refuses early closes while we send: its answer is still to be read."""
    client.putrequest(request.method, request.target.path, skip_host=True, skip_accept_encoding=True)
    for name, value in _headers(request).items():
        client.putheader(name, value)
    client.endheaders()
    try:
        for piece in _pieces(request.body):
            client.send(piece)
    except TimeoutError:
        raise
    except OSError:
        return


def _pieces(body: bytes) -> Iterator[memoryview]:
    """In pieces, because a socket's timeout is for all that one call sends."""
    view = memoryview(body)
    return (view[start : start + _PIECE] for start in range(0, len(body), _PIECE))


def _headers(request: Request) -> dict[str, str]:
    length = {"Content-Length": str(len(request.body))} if request.method == "PUT" else {}
    return {
        "Host": request.target.authority,
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "Connection": "close",
        **length,
        **request.headers,
    }
