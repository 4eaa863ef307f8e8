"""No spelling of an internal address in a URL makes the worker open a connection.

Counted twice: by canary servers on the machine's own addresses, and by an audit hook that sees every connect()
of this process. The controls show that both can see one, and that the spellings are real.
"""

from __future__ import annotations

import http.client
import socket
import threading
import time

import pytest

from handler.media.fetch import FetchPolicy, fetch
from schemas.errors import FileDownloadError

from .connections import watch_connections
from .servers import Server, canary
from .url_forms import numeric_hosts, url_forms

LOC = ("body", "image_url")
TARGETS = ("127.0.0.1", "127.9.8.7", "0.0.0.0", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.100.100.200")
BLOCKED = str(FileDownloadError(LOC))


@pytest.fixture(scope="module")
def trap():
    with canary() as server:
        yield server


def policy_towards(address: str, trap: Server) -> FetchPolicy:
    """The default rules, but the canary's port is allowed and every name leads to `address`."""
    return FetchPolicy(ports=(80, 443, trap.port), connect_s=1, resolver=lambda host, port: [address])


@pytest.mark.parametrize("target", TARGETS)
def test_no_form_of_an_internal_address_is_connected_to(target, trap):
    policy = policy_towards(target, trap)
    forms = url_forms(target, trap.port)
    assert len(forms) > 300
    texts = set()
    with watch_connections() as attempts:
        for url in forms:
            with pytest.raises(FileDownloadError) as refusal:
                fetch(url, LOC, policy)
            texts.add(str(refusal.value))
    assert (texts, attempts, trap.seen) == ({BLOCKED}, [], [])


def test_the_counters_see_a_connection_that_is_allowed(trap):
    with canary() as other, watch_connections() as attempts:
        body = fetch(other.url(), LOC, FetchPolicy(allow_private=True))
    assert (body, attempts, len(other.seen)) == (b"reached", [("127.0.0.1", other.port)], 1)


def test_many_forms_do_reach_the_canary_with_a_careless_client():
    with canary() as other:
        for host in numeric_hosts("127.0.0.1"):
            connection = http.client.HTTPConnection(host, other.port, timeout=2)
            try:
                connection.request("GET", "/")
                connection.getresponse().read()
            except (OSError, socket.gaierror):
                pass
            finally:
                connection.close()
    assert len(other.seen) > 60


@pytest.mark.parametrize("answers", [
    ["127.0.0.1"],
    ["93.184.216.34", "127.0.0.1"],
    ["127.0.0.1", "93.184.216.34"],
    ["93.184.216.34", "fe80::1"],
    ["2606:4700::1111", "fd00::1"],
    ["93.184.216.34", "::ffff:10.0.0.1"],
    ["fe80::1%lo"],
    ["2606:4700::1111%lo"],
    ["64:ff9b::7f00:1"],
    ["2002:7f00:1::1"],
    ["2001:0:4136:e378:8000:63bf:80ff:fffe"],
    ["0.0.0.0"],
    ["255.255.255.255"],
    ["224.0.0.1"],
    ["not an address"],
    ["127.1"],
    [""],
    [],
])  # fmt: skip
def test_one_bad_answer_of_a_name_spoils_all(answers, trap):
    with watch_connections() as attempts, pytest.raises(FileDownloadError, match="Failed to download"):
        fetch(f"http://example.org:{trap.port}/", LOC, FetchPolicy(ports=(trap.port,), resolver=lambda h, p: answers))
    assert attempts == []


def test_the_name_is_resolved_once_and_the_checked_address_used(trap):
    """A name that changes its answer between check and connect (DNS rebinding) has no second question to answer."""
    questions = []

    def rebinding(host: str, port: int) -> list[str]:
        questions.append((host, port))
        return ["127.0.0.1"] if len(questions) == 1 else ["169.254.169.254"]

    with canary() as other, watch_connections() as attempts:
        fetch(other.url(host="rebind.example.org"), LOC, FetchPolicy(allow_private=True, resolver=rebinding))
    assert questions == [("rebind.example.org", other.port)]
    assert attempts == [("127.0.0.1", other.port)]
    assert f"Host: rebind.example.org:{other.port}".encode() in other.seen[0]


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "100.64.0.1", "192.0.0.1", "224.0.0.1"])
def test_private_networks_do_not_open_the_rest(address, trap):
    with watch_connections() as attempts, pytest.raises(FileDownloadError):
        fetch(f"http://{address}:{trap.port}/", LOC, FetchPolicy(allow_private=True))
    assert attempts == []


@pytest.mark.parametrize(("url", "policy"), [
    ("http://93.184.216.34:22/", FetchPolicy()),
    ("http://93.184.216.34:8080/", FetchPolicy()),
    ("https://93.184.216.34:6379/", FetchPolicy()),
    ("http://93.184.216.34/", FetchPolicy(allow_http=False)),
    ("http://127.0.0.1/", FetchPolicy(allow_http=False, allow_private=True)),
])  # fmt: skip
def test_ports_and_plain_http_are_refused_before_connecting(url, policy):
    with watch_connections() as attempts, pytest.raises(FileDownloadError):
        fetch(url, LOC, policy)
    assert attempts == []


def test_a_resolver_that_hangs_or_fails_costs_no_more_than_its_time():
    release = threading.Event()

    def hanging(host: str, port: int) -> list[str]:
        release.wait(60)
        return ["93.184.216.34"]

    started = time.monotonic()
    with pytest.raises(FileDownloadError):
        fetch("http://slow.example.org/", LOC, FetchPolicy(connect_s=0.2, resolver=hanging))
    assert time.monotonic() - started < 30
    release.set()


def test_proxy_settings_of_the_environment_are_not_used(monkeypatch):
    with canary() as proxy, canary() as origin:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert fetch(origin.url(), LOC, FetchPolicy(allow_private=True)) == b"reached"
        assert (len(origin.seen), len(proxy.seen)) == (1, 0)


def test_the_request_carries_no_secret_and_asks_for_plain_bytes(monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    with canary() as origin:
        fetch(origin.url("/a%20b?c=d|e&f=é#part"), LOC, FetchPolicy(allow_private=True))
    head = origin.seen[0].decode()
    assert head.splitlines()[0] == "GET /a%20b?c=d%7Ce&f=%C3%A9 HTTP/1.1"
    assert "Accept-Encoding: identity" in head
    assert not any(word in head.lower() for word in ("cookie", "authorization", "proxy", "referer"))
