"""A gateway's file store in miniature: takes PUTs with a token, gives files back to anyone."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "file-token"


@dataclass
class FileStore:
    """files: content type and bytes by path. refuse: statuses for the next PUTs."""

    origin: str = ""
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    puts: int = 0
    refuse: list[int] = field(default_factory=list)

    def upload_url(self, job: str) -> str:
        return f"{self.origin}/files/{job}/{{file_name}}?upload=1"


def _handler(store: FileStore) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            store.puts += 1
            status = store.refuse.pop(0) if store.refuse else 200
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status = 401
            path = self.path.partition("?")[0]
            if status == 200:
                store.files[path] = (self.headers["Content-Type"], body)
            self._answer(status, "application/json", json.dumps({"url": store.origin + path}).encode())

        def do_GET(self) -> None:
            kind, body = store.files[self.path]
            self._answer(200, kind, body)

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler


@contextlib.contextmanager
def serving_files() -> Iterator[FileStore]:
    store = FileStore()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(store))
    store.origin = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield store
    server.shutdown()
    server.server_close()
