"""The gateway's file store: raw bytes PUT to the job's URL, and what the answer says about where they are."""

from __future__ import annotations

import dataclasses
import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from handler.storage.patience import Patience
from handler.storage.upload_url import UploadUrlStore, parse_upload_url
from schemas.errors import InvalidInput, StorageUnavailable

from .conftest import QUICK
from .fault_proxy import cut_answer, fault_proxy, hang, reset_midway, status

PICTURE = bytes(range(256)) * 4000
TOKEN = "canary-token_42"


class Files(ThreadingHTTPServer):
    """A file store: keeps complete PUTs that carry the token; `reply` is the body of its answers."""

    daemon_threads = True

    def __init__(self, reply: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.kept: dict[str, tuple[str | None, bytes]] = {}
        self.requests = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that a test breaks is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Files

    def do_PUT(self) -> None:
        self.server.requests += 1
        wanted = int(self.headers["Content-Length"])
        body = self.rfile.read(wanted)
        allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
        if allowed and len(body) == wanted:
            self.server.kept[self.path] = (self.headers["Content-Type"], body)
        self.send_response(201 if allowed else 401)
        self.send_header("Content-Length", str(len(self.server.reply)))
        self.end_headers()
        self.wfile.write(self.server.reply)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def files(reply: bytes = b"") -> Iterator[Files]:
    server = Files(reply)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def store(
    url: str, token: str | None = TOKEN, trusted: str | None = None, patience: Patience = QUICK
) -> UploadUrlStore:
    job = {"id": "j", "uploadUrl": url, "uploadToken": token}
    return parse_upload_url(job, allow_private=trusted is None, trusted=trusted, patience=patience)


def test_bytes_type_and_token_arrive_and_the_answers_url_is_the_result():
    reply = json.dumps({"url": "https://gateway.example.com/files/1/a-0.png", "size": 3}).encode()
    with files(reply) as server:
        url = store(f"{server.origin}/put/{{file_name}}?job=j").put("a-0.png", PICTURE, "image/png")
        assert server.kept == {"/put/a-0.png?job=j": ("image/png", PICTURE)}
    assert url == "https://gateway.example.com/files/1/a-0.png"


@pytest.mark.parametrize(
    "reply", [b"", b"ok", b"[]", b'"x"', b"{}", b'{"url": 3}', b'{"url": "file:///etc/passwd"}', b"\xff", b"[" * 60_000]
)
def test_without_a_usable_url_in_the_answer_it_is_the_upload_url_without_query(reply):
    with files(reply) as server:
        url = store(f"{server.origin}/put/{{file_name}}?sig=s").put("a-0.png", PICTURE, "image/png")
        assert url == f"{server.origin}/put/a-0.png"


def test_odd_names_stay_inside_the_path():
    with files() as server:
        store(f"{server.origin}/put/{{file_name}}?job=j").put("../../x?y#z é.png", PICTURE, "image/png")
        (path,) = server.kept
    assert path.startswith("/put/x_y_z_e-")
    assert path.endswith(".png?job=j")
    assert path.count("/") == 2


@pytest.mark.parametrize("faults", [[status(500), status(502)], [reset_midway], [cut_answer], [status(429), hang]])
def test_a_fault_that_passes_is_waited_out(faults):
    # A silence is noticed when it has lasted; the server itself must not be taken for silent on a busy machine.
    patience = dataclasses.replace(QUICK, silence_s=3) if hang in faults else QUICK
    with files(b'{"url": "https://g.example.com/a"}') as server, fault_proxy(server.origin, *faults) as proxy:
        url = store(f"{proxy.endpoint}/put/{{file_name}}", patience=patience).put("a.png", PICTURE, "image/png")
        assert url == "https://g.example.com/a"
        assert len(proxy.visits) == len(faults) + 1
        assert server.kept == {"/put/a.png": ("image/png", PICTURE)}


def test_a_fault_that_stays_ends_after_the_allowed_tries(caplog):
    caplog.set_level(logging.DEBUG, "handler")
    with files() as server, fault_proxy(server.origin, *[status(503)] * 9) as proxy:
        with pytest.raises(StorageUnavailable) as failure:
            store(f"{proxy.endpoint}/put/{{file_name}}").put("a.png", PICTURE, "image/png")
        assert len(proxy.visits) == QUICK.attempts
    for text in (caplog.text, failure.value.line()):
        assert "canary" not in text
        assert "127.0.0.1" not in text


@pytest.mark.parametrize("code", [400, 401, 404, 409, 413, 302])
def test_a_refusal_is_final(code):
    with fault_proxy("http://127.0.0.1:9", *[status(code)] * 9) as proxy:
        with pytest.raises(StorageUnavailable, match=f"HTTP {code}"):
            store(f"{proxy.endpoint}/put/{{file_name}}").put("a.png", PICTURE, "image/png")
        assert len(proxy.visits) == 1


def test_without_a_token_none_is_sent():
    with files() as server:
        with pytest.raises(StorageUnavailable, match="HTTP 401"):
            store(f"{server.origin}/put/{{file_name}}", token=None).put("a.png", PICTURE, "image/png")
        assert (server.requests, server.kept) == (1, {})


@pytest.mark.parametrize(
    "url",
    [
        None, 7, "", "/put/{file_name}", "http://192.0.78.9/put", "http://192.0.78.9/?name={file_name}",
        "http://{file_name}.example.com/", "http://{file_name}", "ftp://192.0.78.9/{file_name}",
        "http://192.0.78.9/{file_name}/{file_name}", "http://192.0.78.9/{name}/{file_name}",
        "http://user@192.0.78.9/{file_name}", "http://192.0.78.9/a b/{file_name}", "http://192.0.78.9/{file_name}#x",
        "http://192.0.78.9/{file_name}\r\nX: y", "http://192.0.78.9/" + "x" * 9000 + "{file_name}",
    ],
)  # fmt: skip
def test_what_is_no_upload_url_is_named(url):
    with pytest.raises(InvalidInput) as refusal:
        parse_upload_url({"uploadUrl": url}, allow_private=False, trusted=None, patience=QUICK)
    assert refusal.value.details[0]["loc"] == ["uploadUrl"]


@pytest.mark.parametrize("token", ["", "canary\r\nX-Evil: 1", "canary canary", 7, ["canary"], "é"])
def test_a_token_that_fits_no_header_is_named_and_not_repeated(token):
    with pytest.raises(InvalidInput) as refusal:
        store("http://127.0.0.1/{file_name}", token)
    assert refusal.value.details[0]["loc"] == ["uploadToken"]
    assert "canary" not in json.dumps(refusal.value.details)


def test_a_private_address_is_used_only_at_the_trusted_origin():
    with files() as server, files() as other:
        trusted = server.origin
        store(f"{server.origin}/put/{{file_name}}", trusted=trusted).put("a.png", PICTURE, "image/png")
        for elsewhere in (other.origin, server.origin.replace("http:", "https:"), "http://localhost:80"):
            with pytest.raises(InvalidInput, match="public host"):
                store(f"{elsewhere}/put/{{file_name}}", trusted=trusted)
        assert (len(server.kept), other.requests) == (1, 0)


def test_remove_leaves_the_gateways_files_alone():
    with files() as server:
        kept = store(f"{server.origin}/put/{{file_name}}")
        kept.put("a.png", PICTURE, "image/png")
        kept.remove("a.png")
        assert (server.requests, len(server.kept)) == (1, 1)
