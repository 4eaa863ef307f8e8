"""A download ends in time and in size, however the server behaves, and what it delivers is whole and plain."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest

from handler.media.fetch import FetchPolicy, fetch
from schemas.errors import FileDownloadError, FileTooLarge
from tests.support.worker import wait_for

from .servers import answer, drip, raw, serve

LOC = ("body", "image_url")
QUICK = FetchPolicy(allow_private=True, connect_s=0.5, first_byte_s=0.5, total_s=120, min_bytes_per_s=100_000)
SLACK_S = 30.0
"""What a busy machine may add to a time; a download that does not end in time takes longer."""
LONG = 100.0
LOCAL = FetchPolicy(allow_private=True)
OK = b"HTTP/1.1 200 OK\r\n"
BLOCKED = str(FileDownloadError(LOC))

SLOW = {
    "no first byte": raw(LONG),
    "one byte of the status line": raw(b"H", LONG),
    "dripping status line": drip(b"", b"H", 0.02),
    "dripping header name": drip(OK, b"a", 0.02),
    "endless headers": drip(OK, b"X-A: b\r\n", 0.005),
    "endless interim answers": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.005),
    "silence after the headers": raw(OK + b"Content-Length: 10\r\n\r\n", LONG),
    "dripping body with a length": drip(OK + b"Content-Length: 100000\r\n\r\n", b"x", 0.02),
    "dripping body without a length": drip(OK + b"\r\n", b"x", 0.02),
    "dripping chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.02),
    "endless chunk extension": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 100, 0.02),
    "endless trailer": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n", 0.02),
    "fast start, then silence": raw(OK + b"Content-Length: 200000\r\n\r\n" + b"x" * 100_000, LONG),
    "always just below the floor": drip(OK + b"\r\n", b"x" * 1000, 0.02),
    "redirect that drips": drip(b"HTTP/1.1 302 Found\r\n", b"L", 0.02),
}


def failure(url: str, policy: FetchPolicy) -> tuple[str, float]:
    started = time.monotonic()
    with pytest.raises(FileDownloadError) as refusal:
        fetch(url, LOC, policy)
    return str(refusal.value), time.monotonic() - started


def test_every_slow_server_is_left_in_time():
    """After the silence that is allowed and no later: long before the total is used up."""

    def attempt(script):
        with serve(script) as server:
            return failure(server.url(), QUICK)

    with ThreadPoolExecutor(len(SLOW)) as pool:
        results = dict(zip(SLOW, pool.map(attempt, SLOW.values()), strict=True))
    late = {name: took for name, (_, took) in results.items() if took > QUICK.first_byte_s + SLACK_S}
    assert late == {}
    assert {text for text, _ in results.values()} == {BLOCKED}


def test_a_server_above_the_floor_is_left_when_the_total_is_used_up():
    policy = FetchPolicy(allow_private=True, first_byte_s=60, total_s=1, min_bytes_per_s=1)
    with serve(drip(OK + b"\r\n", b"x" * 8000, 0.02)) as server:
        assert 1 <= failure(server.url(), policy)[1] < 1 + SLACK_S


def test_the_total_time_spans_redirects():
    """Each hop is quick enough by itself; together they are not."""
    hop = raw(0.4, b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")
    policy = FetchPolicy(allow_private=True, first_byte_s=60, total_s=1, max_redirects=1000)
    with serve(hop) as server:
        assert 1 <= failure(server.url(), policy)[1] < 1 + SLACK_S


def test_a_slow_but_steady_server_above_the_floor_is_waited_for():
    """For longer than it may be silent."""
    policy = dataclasses.replace(QUICK, first_byte_s=1.5, min_bytes_per_s=10_000)
    parts = [part for _ in range(20) for part in (0.1, b"x" * 20_000)]
    with serve(raw(OK + b"Content-Length: 400000\r\n\r\n", *parts)) as server:
        assert len(fetch(server.url(), LOC, policy)) == 400_000


def test_closed_ports_and_silent_hosts_read_like_blocked_ones():
    with serve(raw()) as server:
        closed = server.url()
    assert failure(closed, QUICK)[0] == BLOCKED
    with serve(raw(b"")) as server:
        assert failure(server.url(), QUICK)[0] == BLOCKED


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
def test_bodies_up_to_the_cap_arrive_whole(size):
    body = bytes(range(256)) * (size // 256) + b"!" * (size % 256)
    policy = FetchPolicy(allow_private=True, max_bytes=1_000_000)
    with serve(answer(200, body)) as server:
        assert fetch(server.url(), LOC, policy) == body
    with serve(answer(200, body, length=False)) as server:
        assert fetch(server.url(), LOC, policy) == body
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 9999]), body[i : i + 9999]) for i in range(0, size, 9999))
    with serve(raw(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")) as server:
        assert fetch(server.url(), LOC, policy) == body


@pytest.mark.parametrize("head", [
    b"Content-Length: 1000001\r\n\r\n",
    b"\r\n",
    b"Content-Length: 99999999999999999999999999\r\n\r\n",
])  # fmt: skip
def test_a_body_above_the_cap_is_too_large(head):
    policy = FetchPolicy(allow_private=True, max_bytes=1_000_000)
    with serve(raw(OK + head + b"x" * 1_000_001)) as server, pytest.raises(FileTooLarge) as refusal:
        fetch(server.url(), LOC, policy)
    assert refusal.value.detail[0]["ctx"] == {"max_size": 1_000_000}
    assert refusal.value.detail[0]["loc"] == list(LOC)


@pytest.mark.parametrize("endless", [b"", b"Transfer-Encoding: chunked\r\n"])
def test_an_endless_body_costs_little_more_memory_than_the_cap(endless):
    piece = b"x" * 65_536 if not endless else b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    tracemalloc.start()
    try:
        with serve(drip(OK + endless + b"\r\n", piece, 0)) as server, pytest.raises(FileTooLarge):
            fetch(server.url(), LOC, LOCAL)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LOCAL.max_bytes * 1.125 + 5 * 2**20


@pytest.mark.parametrize("response", [
    OK + b"Content-Length: 10\r\n\r\nshort",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
    OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    OK + b"Content-Length: -1\r\n\r\nabcd",
    OK + b"Content-Length: 0x4\r\n\r\nabcd",
    OK + b"Content-Length: +4\r\n\r\nabcd",
    OK + b"Content-Length: 4, 4\r\n\r\nabcd",
    OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    OK + b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nabcd",
    OK + b"Content-Encoding: identity, gzip\r\nContent-Length: 4\r\n\r\nabcd",
    OK + b"Content-Encoding: identity\r\nContent-Encoding: deflate\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 206 Partial\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 300 Multiple\r\nLocation: /x\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 302 Found\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: /b\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\nabcd",
    b"HTTP/9.9 200 OK\r\n\r\nabcd",
    b"SSH-2.0-OpenSSH_9\r\n",
    b"+PONG\r\n",
    b"\x15\x03\x01\x00\x02\x02\x50",
    b"\x00" * 100,
    b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
    OK + b"".join(b"X-%d: a\r\n" % i for i in range(200)) + b"\r\nabcd",
    b"<html>hello</html>",
])  # fmt: skip
def test_strange_answers_are_failures_with_the_one_text(response):
    with serve(raw(response)) as server:
        assert failure(server.url(), LOCAL)[0] == BLOCKED


def test_a_body_longer_than_its_length_is_cut_there():
    with serve(raw(OK + b"Content-Length: 4\r\n\r\nabcdefgh")) as server:
        assert fetch(server.url(), LOC, LOCAL) == b"abcd"


def test_an_identity_encoding_is_no_encoding():
    with serve(answer(200, b"abc", ("Content-Encoding", "identity"))) as server:
        assert fetch(server.url(), LOC, LOCAL) == b"abc"


def test_nothing_of_the_network_shows_in_the_error():
    with serve(answer(500)) as server, pytest.raises(FileDownloadError) as refusal:
        fetch(server.url("/secret?token=abc"), LOC, LOCAL)
    assert refusal.value.__cause__ is None
    (detail,) = refusal.value.detail
    assert detail["type"] == "file_download_error"
    assert detail["loc"] == ["body", "image_url"]
    assert not any(word in detail["msg"] for word in ("127.0.0.1", "500", "token", "secret", "refused", "Errno"))


def test_sixty_stuck_downloads_do_not_disturb_another():
    """It is there while all of them are stuck."""
    patient = FetchPolicy(allow_private=True, connect_s=60, first_byte_s=60, total_s=60)
    release, before = threading.Event(), threading.active_count()

    def stick(connection: socket.socket, head: bytes) -> None:
        release.wait(60)

    with serve(stick) as stuck, serve(answer(200, b"fine")) as server, ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(failure, stuck.url(), patient) for _ in range(60)]
        wait_for(lambda: sum(bool(head) for head in stuck.seen) == 60, 60, "sixty requests")
        assert fetch(server.url(), LOC, LOCAL) == b"fine"
        assert not any(future.done() for future in waiting)
        release.set()
        assert {future.result()[0] for future in waiting} == {BLOCKED}
    wait_for(lambda: threading.active_count() <= before + 2, 60, "the end of their threads")


def test_sixty_stuck_downloads_end_in_time():
    with serve(raw(LONG)) as stuck, ThreadPoolExecutor(60) as pool:
        waiting = [pool.submit(failure, stuck.url(), QUICK) for _ in range(60)]
        assert max(future.result()[1] for future in waiting) < QUICK.first_byte_s + SLACK_S
