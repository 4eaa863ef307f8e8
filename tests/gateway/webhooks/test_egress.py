"""A webhook goes to the public internet and nowhere else: not by a trick of its URL, its name or a redirect.

The canary listens on loopback, on IPv4 and IPv6; it must see no connection at all. Names are resolved by a table in
place of the system's resolver, addresses and connections are real.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.webhooks.addresses import is_permitted
from gateway.webhooks.egress import Answer, Egress, Unreachable
from gateway.webhooks.target import Refused, Target, parse
from tests.gateway.webhooks.certificates import certificate
from tests.gateway.webhooks.receivers import answering, receiving
from tests.gateway.webhooks.url_corpus import INSIDE, INSIDE_6, urls


@contextmanager
def canary() -> Iterator[tuple[int, list[Any]]]:
    """A port of loopback, and who connected to it."""
    four = socket.create_server(("127.0.0.1", 0))
    port = four.getsockname()[1]
    listeners = [four]
    if socket.has_ipv6:
        listeners.append(socket.create_server(("::1", port), family=socket.AF_INET6))
    seen: list[Any] = []
    try:
        yield port, seen
    finally:
        for listener in listeners:
            listener.setblocking(False)
            with suppress(BlockingIOError):
                seen.append(listener.accept()[1])
            listener.close()


def post(url: str, *, allow_private: bool = False, ca_file: str | None = None) -> Answer:
    egress = Egress(allow_private=allow_private, ca_file=ca_file)
    try:
        return asyncio.run(egress.post(parse(url), {"X-Test": "1"}, b"{}", 60))
    finally:
        egress.close()


async def got_through(corpus: list[str]) -> list[str]:
    """The URLs that were not refused."""
    egress, through = Egress(), []
    for url in corpus:
        with suppress(Refused):
            with suppress(Unreachable):
                await egress.post(parse(url), {}, b"{}", 0.2)
            through.append(url)
    egress.close()
    return through


class Names:
    """A resolver's table: name -> its answers, one list for each time it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, table: dict[str, list[list[str]]]) -> None:
        self.asked: list[str] = []
        real = socket.getaddrinfo

        def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
            if host not in table:
                return real(host, port, *args, **options)
            self.asked.append(host)
            answers = table[host][min(self.asked.count(host), len(table[host])) - 1]
            return [entry for address in answers for entry in real(address, port, type=socket.SOCK_STREAM)]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_no_form_of_a_url_gets_inside() -> None:
    with canary() as (port, seen):
        corpus = list(urls(port))
        assert asyncio.run(got_through(corpus)) == []
    assert seen == []
    assert len(corpus) > 150


@pytest.mark.parametrize("address", [*INSIDE, *INSIDE_6])
def test_addresses_inside_are_closed(address: str) -> None:
    assert not is_permitted(address, allow_private=False)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450::1"])
def test_public_addresses_are_open(address: str) -> None:
    assert is_permitted(address, allow_private=False)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.9", "::1", "fd00::1"])
def test_the_setting_opens_private_networks(address: str) -> None:
    assert is_permitted(address, allow_private=True)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "fe80::1%eth0", "100.64.0.1", "0.0.0.0", "::", "x"])
def test_the_setting_opens_nothing_else(address: str) -> None:
    assert not is_permitted(address, allow_private=True)


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["::1"], ["1.1.1.1", "127.0.0.1"], ["127.0.0.1", "1.1.1.1"], ["fd00::1"], ["169.254.169.254"]],
)
def test_a_name_with_any_address_inside_is_refused(monkeypatch: pytest.MonkeyPatch, answers: list[str]) -> None:
    Names(monkeypatch, {"hooks.example.com": [answers]})
    with canary() as (port, seen), pytest.raises(Refused, match="not on the public internet"):
        post(f"http://hooks.example.com:{port}/")
    assert seen == []


def test_a_name_is_resolved_once_and_that_address_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """What resolves differently a moment later (DNS rebinding) gains nothing."""
    with receiving() as receiver:
        names = Names(monkeypatch, {"hooks.example.com": [["127.0.0.1"], ["::1"]]})
        assert post(receiver.url.replace("127.0.0.1", "hooks.example.com") + "/x?y=1", allow_private=True).status == 200
        (call,) = receiver.of("/x?y=1")
    assert names.asked == ["hooks.example.com"]
    assert call.headers["host"] == receiver.url.replace("http://127.0.0.1", "hooks.example.com")


def test_the_second_address_is_tried_when_the_first_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver:
        Names(monkeypatch, {"hooks.example.com": [["::1", "127.0.0.1"]]})
        assert post(receiver.url.replace("127.0.0.1", "hooks.example.com"), allow_private=True).status == 200


def test_a_name_that_does_not_resolve_may_do_so_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise socket.gaierror("try again")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(Unreachable, match="could not be resolved"):
        post("http://hooks.example.com/")


def test_a_redirect_inside_is_not_followed() -> None:
    with canary() as (port, seen):
        inside = {"Location": f"http://127.0.0.1:{port}/"}
        behaviours = {f"r{status}": answering(status, **inside) for status in (301, 302, 303, 307, 308)}
        with receiving(**behaviours) as receiver:
            for path in behaviours:
                assert post(f"{receiver.url}/{path}", allow_private=True).status == int(path[1:])
    assert seen == []


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with canary() as (port, seen), receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert post(f"{receiver.url}/", allow_private=True).status == 200
    assert seen == []


def test_closed_and_silent_ports_inside_are_told_alike() -> None:
    """No port scanner: what is refused is refused before anything is asked."""
    with canary() as (port, _):
        texts = set()
        for url in (f"http://127.0.0.1:{port}/", "http://127.0.0.1:1/", "http://10.255.255.1/"):
            with pytest.raises(Refused) as refusal:
                post(url)
            texts.add(str(refusal.value))
    assert len(texts) == 1


def test_tls_is_verified_against_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key, chain = certificate(tmp_path, "hooks.example.com")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain, key)
    Names(monkeypatch, {name: [["127.0.0.1"]] for name in ("hooks.example.com", "other.example.com")})
    with receiving(tls) as receiver:
        url = receiver.url.replace("127.0.0.1", "hooks.example.com")
        assert post(url, allow_private=True, ca_file=str(chain)).status == 200
        with pytest.raises(Unreachable, match="TLS handshake failed"):
            post(url.replace("hooks.", "other."), allow_private=True, ca_file=str(chain))
        with pytest.raises(Unreachable, match="TLS handshake failed"):
            post(url, allow_private=True)
    assert len(receiver.calls) == 1


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("http://Example.COM:8080/a/b?c=d%20e", Target("http", "example.com", 8080, "/a/b?c=d%20e")),
        ("https://[2606:4700::1111]:444/?q", Target("https", "2606:4700::1111", 444, "/?q")),
        ("http://1.2.3.4?x=1", Target("http", "1.2.3.4", 80, "/?x=1")),
        ("https://xn--bcher-kva.example/", Target("https", "xn--bcher-kva.example", 443, "/")),
    ],
)
def test_plain_urls_are_read(url: str, target: Target) -> None:
    assert parse(url) == target
