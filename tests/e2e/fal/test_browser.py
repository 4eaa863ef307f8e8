"""fal's client in a page of another origin, in Chromium: every call is allowed there, every header it needs is read."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.fal.clients import HERE
from tests.support.gateway import GatewayProcess, serving_gateway

KEY = "a key of the page"
VISIT_S = 90
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip


class Site(ThreadingHTTPServer):
    """Serves one page with its script, and takes what the script posts."""

    daemon_threads = True

    def __init__(self, script: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.outcomes: queue.Queue[dict[str, Any]] = queue.Queue()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        is_script = self.path.startswith("/page.js")
        body = self.server.script if is_script else b'<!doctype html><script type="module" src="/page.js"></script>'
        self._answer(body, "text/javascript" if is_script else "text/html")

    def do_POST(self) -> None:
        self.server.outcomes.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self._answer(b"", "text/plain")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def site() -> Iterator[Site]:
    script = subprocess.run(
        ["node_modules/.bin/esbuild", "page.mjs", "--bundle", "--format=esm"], cwd=HERE, check=True, capture_output=True
    )
    with Site(script.stdout) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def visit(server: Site, gateway: GatewayProcess, home: Path) -> dict[str, Any]:
    """What the page told, opened in a browser of its own."""
    url = f"{server.url}/?gateway={quote(gateway.url)}&key={quote(KEY)}"
    command = ["chromium", *FLAGS, f"--user-data-dir={home}", url]
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    with (home / "chromium.log").open("wb") as log:
        browser = subprocess.Popen(command, env=clean, stdout=log, stderr=log, start_new_session=True)
    try:
        return server.outcomes.get(timeout=VISIT_S)
    finally:
        os.killpg(browser.pid, 9)
        browser.wait()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The outcome of a visit, at a gateway with a key."""
    home = tmp_path_factory.mktemp("browser")
    gateway = GatewayProcess(home / "gateway", ("--apikey", KEY))
    with serving_gateway(gateway), site() as server:
        yield visit(server, gateway, home) | {"gateway": gateway.url}


def test_the_page_was_another_origin_in_a_real_browser(told: dict[str, Any]) -> None:
    assert "Chrome" in told["browser"]
    assert "failed" not in told, told


def test_submit_status_cancel_and_events(told: dict[str, Any]) -> None:
    assert told["status"]["status"] == "IN_QUEUE"
    assert told["status"]["request_id"] == told["requestId"]
    assert told["events"] == ["COMPLETED"]


def test_the_page_reads_status_and_id_of_failures(told: dict[str, Any]) -> None:
    assert (told["cancelled"]["status"], told["cancelled"]["id"]) == (499, told["requestId"])
    assert (told["invalid"]["name"], told["invalid"]["status"]) == ("ValidationError", 422)
    assert told["invalid"]["detail"][0]["loc"] == ["body", "num_images"]
    assert told["invalid"]["id"]


def test_an_upload_and_its_way_back(told: dict[str, Any]) -> None:
    assert told["uploaded"].startswith(told["gateway"])
    assert (told["size"], told["first"]) == (5000, 7)
