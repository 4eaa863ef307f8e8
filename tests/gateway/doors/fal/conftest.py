"""Gateways of this door's tests, asked over HTTP without a client in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.support.gateway_thread import ServedGateway, threaded_gateway

APP = "fal-ai/fooocus"
KEY = "a key in plain text"


@dataclass(frozen=True)
class Door:
    """HTTP to one gateway, and its parts."""

    served: ServedGateway
    http: httpx2.Client

    def submit(self, input: Any = None, endpoint: str = APP, **more: Any) -> dict[str, Any]:
        """The answer to an accepted submit."""
        reply = self.http.post(f"/queue/{endpoint}", json={"prompt": "x"} if input is None else input, **more)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def job(self, request_id: str) -> Any:
        return self.served.run(self.served.gateway.jobs.get(request_id))


@pytest.fixture(scope="module")
def door(served: ServedGateway) -> Iterator[Door]:
    """Without keys."""
    with httpx2.Client(base_url=served.url, trust_env=False, timeout=30) as http:
        yield Door(served, http)


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """With KEY; requests carry none unless told."""
    data = tmp_path_factory.mktemp("locked") / "data"
    with (
        threaded_gateway(data, apikey=KEY) as served,
        httpx2.Client(base_url=served.url, trust_env=False, timeout=30) as http,
    ):
        yield Door(served, http)
