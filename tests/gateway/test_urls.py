"""The address a caller knows the gateway by: configured, as used, or as a trusted proxy says."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from gateway.settings import Settings
from gateway.urls import base_url, is_base, own_url, used_url


def request(host: str, scheme: str = "http", **headers: str) -> Request:
    sent = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in sent.items()]
    return Request({"type": "http", "scheme": scheme, "path": "/", "query_string": b"", "headers": raw, "server": None})


FORWARDED = {"x_forwarded_proto": "https, http", "x_forwarded_host": "gpu.example", "x_forwarded_prefix": "/fooocus/"}


@pytest.mark.parametrize(
    ("settings", "asked", "expected"),
    [
        ({}, request("10.0.0.5:8888"), "http://10.0.0.5:8888"),
        ({}, request("queue.fal.run", "https"), "https://queue.fal.run"),
        ({}, request("[::1]:8888"), "http://[::1]:8888"),
        ({}, request("a:1", **FORWARDED), "http://a:1"),
        ({"trust_forwarded": True}, request("a:1", **FORWARDED), "https://gpu.example/fooocus"),
        ({"trust_forwarded": True}, request("a:1"), "http://a:1"),
        ({"trust_forwarded": True}, request("a", x_forwarded_host='"><script>'), "http://127.0.0.1:8888"),
        ({"trust_forwarded": True}, request("a", x_forwarded_proto="javascript"), "http://127.0.0.1:8888"),
        ({"trust_forwarded": True}, request("a", x_forwarded_prefix="/../x?y"), "http://127.0.0.1:8888"),
        ({}, request("evil.example/path#"), "http://127.0.0.1:8888"),
        ({}, request(""), "http://127.0.0.1:8888"),
        ({"public_url": "https://gpu.example/f/"}, request("a:1"), "https://gpu.example/f"),
    ],
)
def test_base_url(settings: dict[str, Any], asked: Request, expected: str) -> None:
    assert base_url(asked, Settings(**settings)) == expected


def test_workers_are_told_what_they_used_themselves() -> None:
    settings = Settings(public_url="https://gpu.example")
    assert used_url(request("127.0.0.1:8888"), settings) == "http://127.0.0.1:8888"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", "http://127.0.0.1:8888"), ("0.0.0.0", "http://127.0.0.1:8888"), ("::", "http://[::1]:8888")],
)
def test_workers_here_use_this_machine(host: str, expected: str) -> None:
    assert own_url(Settings(host=host)) == expected


def test_bases() -> None:
    good = ["http://10.0.0.5:8888", "https://gpu.example/fooocus", "http://[::1]:1"]
    bad = ["", "gpu.example", "ftp://a", "http://", "http://a/b?c", "http://u@a", "http://a#b", "http://a b"]
    assert [is_base(url) for url in good + bad] == [True] * len(good) + [False] * len(bad)
