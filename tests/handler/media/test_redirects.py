"""Redirects are followed by hand: the five real codes, at most three, each target checked like the first URL.

The redirecting server stands on loopback, so these run with private networks allowed; what stays closed even then
is the target. `test_isolated_network` repeats them with global addresses and the default policy.
"""

from __future__ import annotations

import itertools

import pytest

from handler.media.fetch import FetchPolicy, fetch
from handler.media.urls import parse
from schemas.errors import FileDownloadError

from .connections import watch_connections
from .servers import Script, Server, canary, serve

LOC = ("body", "image_url")
POLICY = FetchPolicy(allow_private=True, resolver=lambda host, port: ["169.254.169.254"])
CODES = (301, 302, 303, 307, 308)
TARGETS = (
    "http://169.254.169.254/latest/meta-data/", "//169.254.169.254/", "http://0.0.0.0:{port}/", "http://[::]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/", "http://metadata.example.org/", "https://100.64.0.1/", "http://2130706433:{port}/",
    "http://127.1:{port}/", "http:\\\\127.0.0.1:{port}\\", "/\\127.0.0.1:{port}/", "\\\\127.0.0.1:{port}/",
    "http://user@127.0.0.1:{port}/", "http://127.0.0.1:{port}\\@example.org/", "ht\ttp://127.0.0.1:{port}/",
    "http://127.0.0.1:0{port}/", "http://127。0。0。1:{port}/", "file:///etc/passwd", "ftp://127.0.0.1:{port}/",
    "gopher://127.0.0.1:{port}/_x", "data:image/png;base64,AAAA", "javascript:alert(1)", "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/", "http://", "http://%31%32%37.0.0.1:{port}/", "///127.0.0.1:{port}/",
)  # fmt: skip


def redirect(code: int, location: str) -> Script:
    head = f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\nLocation: ".encode() + location.encode("utf-8") + b"\r\n\r\n"
    return lambda connection, _: connection.sendall(head)


def chain(code: int, target: str, depth: int) -> Script:
    """`depth` redirects, the last of them to `target`: /1 leads to /2 and so on."""

    def script(connection, head):
        place = int(head.split()[1][1:])
        redirect(code, target if place == depth else f"/{place + 1}")(connection, head)

    return script


@pytest.fixture(scope="module")
def trap():
    with canary() as server:
        yield server


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_no_redirect_leads_to_a_closed_target(code, depth, trap):
    for target in TARGETS:
        with serve(chain(code, target.format(port=trap.port), depth)) as server:
            with watch_connections() as attempts, pytest.raises(FileDownloadError) as refusal:
                fetch(server.url("/1"), LOC, POLICY)
            assert set(attempts) == {("127.0.0.1", server.port)}, target
            assert len(server.seen) == depth, target
            assert str(refusal.value) == str(FileDownloadError(LOC))
    assert trap.seen == []


@pytest.mark.parametrize(("code", "depth"), list(itertools.product(CODES, (1, 2, 3))))
def test_up_to_three_redirects_are_followed(code, depth):
    with canary() as other, serve(chain(code, other.url("/picture?x=1"), depth)) as server:
        assert fetch(server.url("/1"), LOC, POLICY) == b"reached"
    assert other.seen[0].startswith(b"GET /picture?x=1 HTTP/1.1\r\nHost: 127.0.0.1:")


def test_the_fourth_redirect_is_one_too_many():
    with canary() as other, serve(chain(302, other.url(), 4)) as server:
        with pytest.raises(FileDownloadError):
            fetch(server.url("/1"), LOC, POLICY)
        assert (len(server.seen), other.seen) == (4, [])


def test_a_loop_ends():
    with serve(redirect(302, "/again")) as server, pytest.raises(FileDownloadError):
        fetch(server.url(), LOC, POLICY)
    assert len(server.seen) == 4


@pytest.mark.parametrize("headers", ["Refresh: 0; url={0}", "Location: {0}", "Link: <{0}>; rel=canonical"])
def test_only_the_five_codes_redirect(headers):
    with canary() as other:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{headers.format(other.url())}\r\n\r\nhi".encode()
        with serve(lambda connection, _: connection.sendall(head)) as server:
            assert fetch(server.url(), LOC, POLICY) == b"hi"
        assert other.seen == []


def test_a_redirect_body_is_not_read():
    def script(connection, head):
        if head.startswith(b"GET /end"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            connection.sendall(b"HTTP/1.1 302 X\r\nLocation: /end\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 9999)

    with serve(script) as server:
        assert fetch(server.url(), LOC, POLICY) == b"ok"


BASE = parse("http://example.org:8080/a/b/c?x=1")


@pytest.mark.parametrize(("location", "expected"), [
    ("https://other.example/p?q", ("https", "other.example", 443, "/p?q")),
    ("HTTP://OTHER.example", ("http", "other.example", 80, "/")),
    ("//other.example/p", ("http", "other.example", 80, "/p")),
    ("/p#f", ("http", "example.org", 8080, "/p")),
    ("d", ("http", "example.org", 8080, "/a/b/d")),
    ("../d", ("http", "example.org", 8080, "/a/d")),
    ("../../../../d", ("http", "example.org", 8080, "/d")),
    ("?y=2", ("http", "example.org", 8080, "/a/b/c?y=2")),
    ("/caf\xc3\xa9", ("http", "example.org", 8080, "/caf%C3%A9")),
])  # fmt: skip
def test_locations_resolve_as_in_a_browser(location, expected):
    target = BASE.follow(location)
    assert (target.scheme, target.host, target.port, target.path) == expected


def test_a_redirect_target_keeps_its_own_host_header():
    seen: Server
    with canary() as seen, serve(redirect(307, seen.url(host="localhost"))) as server:
        policy = FetchPolicy(allow_private=True, resolver=lambda host, port: ["127.0.0.1"])
        fetch(server.url(), LOC, policy)
    assert f"Host: localhost:{seen.port}\r\n".encode() in seen.seen[0]
