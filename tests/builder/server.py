"""A real HTTP server on loopback that serves byte ranges and misbehaves on request."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """How one answer differs from a plain one.

    status and headers: an answer without body. cut: close the connection after this many bytes of body.
    hold: wait for this event after half the body. whole: ignore Range. body: serve this instead.
    announce: leave Content-Length out when False. delay: seconds before the answer. shift: answer a range that
    begins this many bytes later than asked.
    """

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    cut: int | None = None
    hold: threading.Event | None = None
    whole: bool = False
    body: bytes | None = None
    announce: bool = True
    delay: float = 0.0
    shift: int = 0


PLAIN = Fault()


@dataclass(frozen=True)
class Seen:
    """A request as it arrived, header names in lower case."""

    path: str
    headers: dict[str, str]


@dataclass
class Site:
    """files by path; faults: consumed one per request of a path; always: the fault when none is queued."""

    base: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, Fault] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def url(self, path: str) -> str:
        return self.base + path

    def fault(self, path: str) -> Fault:
        queue = self.faults[path]
        return queue.popleft() if queue else self.always.get(path, PLAIN)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.site.seen.append(Seen(self.path, {name.lower(): value for name, value in self.headers.items()}))
        fault = self.site.fault(path)
        time.sleep(fault.delay)
        body = fault.body if fault.body is not None else self.site.files.get(path)
        if fault.status is not None:
            self._without_body(fault.status, fault.headers)
        elif body is None:
            self._without_body(404, ())
        else:
            self._serve(body, fault)

    def _serve(self, body: bytes, fault: Fault) -> None:
        start = self._start(fault)
        if start is not None and start >= len(body):
            self._without_body(416, (("Content-Range", f"bytes */{len(body)}"),))
            return
        first = start or 0
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        if fault.announce:
            self.send_header("Content-Length", str(len(body) - first))
        self.close_connection = fault.cut is not None or not fault.announce
        self.end_headers()
        self._send(body[first:], fault)

    def _start(self, fault: Fault) -> int | None:
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(match[1]) + fault.shift if match and not fault.whole else None

    def _send(self, body: bytes, fault: Fault) -> None:
        if fault.cut is not None:
            body = body[: fault.cut]
        if fault.hold is not None:
            middle = len(body) // 2
            self.wfile.write(body[:middle])
            self.wfile.flush()
            fault.hold.wait(120)
            body = body[middle:]
        self.wfile.write(body)

    def _without_body(self, status: int, headers: tuple[tuple[str, str], ...]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of these tests hang up on purpose."""


@contextmanager
def serving(host: str = "127.0.0.1", certificate: tuple[Path, Path] | None = None) -> Iterator[Site]:
    """A running site; with a certificate (file, key) it speaks HTTPS."""
    site = Site()
    server = QuietServer((host, 0), type("SiteHandler", (Handler,), {"site": site}))
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.base = f"{'https' if certificate else 'http'}://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
