"""Request bodies: bytes are counted as they come, JSON is read one way only, nothing compressed."""

from __future__ import annotations

import contextlib
import json
import select
import socket

import httpx2
import pytest

from gateway.bodies import parse_json
from schemas.errors import BadRequest
from tests.support.gateway_thread import ServedGateway

CLIENT = httpx2.Client(trust_env=False, timeout=60)
RUN = "/runpod/v2/fooocus/run"
JSON = {"Content-Type": "application/json"}


def test_a_body_that_is_too_large_is_refused(served: ServedGateway) -> None:
    answer = CLIENT.post(served.url + RUN, content=bytes(served.gateway.settings.max_body_bytes + 1), headers=JSON)
    assert answer.status_code == 413


def test_a_body_that_says_so_is_refused_unread(served: ServedGateway) -> None:
    size = served.gateway.settings.max_body_bytes + 1
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), 5) as connection:
        head = f"POST {RUN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_say_is_cut_off(served: ServedGateway) -> None:
    """First it is answered, then no longer listened to."""
    sent, chunk = 0, b"100000\r\n" + bytes(2**20) + b"\r\n"
    with socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])), 30) as connection:
        connection.sendall(f"POST {RUN} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        answer = b""
        with contextlib.suppress(ConnectionError):
            while sent < 2**30:
                connection.sendall(chunk)
                sent += 2**20
                if not answer and select.select([connection], [], [], 0)[0]:
                    answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 4 * served.gateway.settings.max_body_bytes


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd"])
def test_compressed_bodies_are_not_unpacked(served: ServedGateway, encoding: str) -> None:
    answer = CLIENT.post(served.url + RUN, content=b"\x1f\x8b", headers=JSON | {"Content-Encoding": encoding})
    assert answer.status_code == 415


BAD = {
    "not JSON": b"{",
    "text": b"hello",
    "two values": b"{}{}",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "same name twice": b'{"a": 1, "a": 2}',
    "same name twice, deep": b'{"b": [{"a": 1, "a": 2}]}',
    "NaN": b'{"a": NaN}',
    "infinity": b'{"a": -Infinity}',
    "too large a float": b'{"a": 1e999}',
    "too large an integer": b'{"a": 9223372036854775808}',
    "very many digits": b'{"a": ' + b"1" * 100_000 + b"}",
    "half a character": b'{"a": "\\ud800"}',
    "deep list": b"[" * 40 + b"]" * 40,
    "deeper than the stack": b"[" * 100_000,
    "deep objects": b'{"a":' * 40 + b"1" + b"}" * 40,
    "byte order mark": b"\xef\xbb\xbf{}",
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_surprising_json_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest):
        parse_json(body, 32)


GOOD = [
    {"a": [1, 2.5, None, True, "ü\n\"\\ [[[[{{{{", "😀"], "b": {"c": -(2**63), "d": 2**63 - 1}},
    [[[[]]]],
    "brackets in a string " + "[" * 1000,
    "quoted \\\" " + "{" * 100,
    0,
]


@pytest.mark.parametrize("value", GOOD, ids=range(len(GOOD)))
@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_is_read_as_it_was_written(value: object, ascii_only: bool) -> None:
    assert parse_json(json.dumps(value, ensure_ascii=ascii_only).encode(), 32) == value


def test_a_large_body_is_read_quickly() -> None:
    """Ten megabytes of data URI and a hundred thousand brackets: no step may be quadratic."""
    value = {"image": "data:image/png;base64," + "A" * 10_000_000, "many": [[] for _ in range(50_000)]}
    assert parse_json(json.dumps(value).encode(), 32) == value
