"""Requests for fal's hosts land on this gateway's paths, by Host or through the proxy, and nowhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from gateway.doors.fal.addresses import FalAddresses
from gateway.doors.fal.roots import BY_NAME

Seen = dict[str, Any]


def through(path: str, headers: Mapping[str, str], query: str = "", method: str = "GET") -> tuple[Seen | None, int]:
    """What the application behind saw (None: nothing), and the status."""
    seen: list[Scope] = []
    statuses: list[int] = []

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await JSONResponse({})(scope, receive, send)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope: Scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(FalAddresses(behind)(scope, receive, send))
    return (seen[0] if seen else None), statuses[0]


@pytest.mark.parametrize(
    ("host", "root"),
    [("queue.fal.run", "/queue"), ("fal.run", "/run"), ("rest.fal.ai", "/rest"), ("rest.alpha.fal.ai", "/rest"),
     ("v3.fal.media", "/cdn"), ("QUEUE.FAL.RUN:443", "/queue")],
)  # fmt: skip
def test_fals_own_hosts(host: str, root: str) -> None:
    seen, _ = through("/fal-ai/fooocus", {"host": host}, "a=1")
    assert seen is not None
    assert (seen["path"], seen["query_string"], seen[BY_NAME]) == (f"{root}/fal-ai/fooocus", b"a=1", True)


@pytest.mark.parametrize("host", ["127.0.0.1:8888", "queue.example.com", "notfal.run", "fal.run.example.com"])
def test_other_hosts_stay_as_they_are(host: str) -> None:
    seen, _ = through("/queue/fal-ai/fooocus", {"host": host})
    assert seen is not None
    assert seen["path"] == "/queue/fal-ai/fooocus"
    assert BY_NAME not in seen


def test_old_clients_put_queue_before_the_host() -> None:
    seen, _ = through("/fal-ai/fooocus", {"host": "queue.localhost:8443"})
    assert seen is not None
    assert seen["path"] == "/queue/fal-ai/fooocus"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_the_proxy_goes_by_the_target(method: str) -> None:
    target = "https://queue.fal.run/fal-ai/fooocus/requests/x/status?logs=1"
    seen, _ = through("/api/fal/proxy", {"x-fal-target-url": target}, "logs=0&own=1", method)
    assert seen is not None
    assert (seen["method"], seen["path"]) == (method, "/queue/fal-ai/fooocus/requests/x/status")
    assert seen["query_string"] == b"logs=1"


@pytest.mark.parametrize(
    "target",
    ["", "/queue", "https://example.com/", "http://queue.fal.run/x", "https://queue.fal.run:8443/x", "file:///etc/passwd",
     "https://user:pw@fal.run/x", "https://fal.run.example.com/", "https://evil@fal.run@example.com/",
     "https://127.0.0.1/x", "https://[::1/", "https://fal.run:port/", "https://queue.fal.run\\@example.com/",
     "https://qu\u00fbeue.fal.run/x"],
)  # fmt: skip
def test_the_proxy_knows_no_other_target(target: str) -> None:
    assert through("/api/fal/proxy", {"x-fal-target-url": target}) == (None, 400)
