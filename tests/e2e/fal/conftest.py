"""Gateways and fal's real clients, each started once."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator

import pytest

from tests.support.fal.clients import KINDS, Address, Client
from tests.support.gateway import AT_ONCE, WARM_S, GatewayProcess, serving_gateway, until

_HTTPS = re.compile(r"Serving at (https://[^ ]+) too")
_END_S = 60

Clients = Callable[[str], Client]


def address_of(gateway: GatewayProcess) -> Address:
    found = _HTTPS.search(gateway.log())
    assert found is not None, gateway.log()
    return Address(gateway.url, found[1], str(gateway.data / "tls" / "bundle.pem"))


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that nobody works for: what is submitted waits."""
    home = tmp_path_factory.mktemp("empty")
    with serving_gateway(GatewayProcess(home, ("--tls-port", "0"))) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def painting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with the real worker on the demo model; every step is told."""
    home = tmp_path_factory.mktemp("painting")
    environment = {"FOOOCUS_PROGRESS_INTERVAL_S": "0", **AT_ONCE}
    arguments = ("--tls-port", "0", "--workers", "1")
    with serving_gateway(GatewayProcess(home, arguments, environment)) as gateway:
        until(lambda: gateway.workers()["idle"], WARM_S)
        yield gateway
        gateway.terminate()
        gateway.wait(_END_S)


def _clients(gateway: GatewayProcess) -> Iterator[Clients]:
    with contextlib.ExitStack() as stack:
        started: dict[str, Client] = {}

        def client(kind: str) -> Client:
            if kind not in started:
                started[kind] = Client(KINDS[kind], address_of(gateway))
                stack.callback(started[kind].close)
            return started[kind]

        yield client


@pytest.fixture(scope="session")
def clients(empty: GatewayProcess) -> Iterator[Clients]:
    """Clients of `empty`, by kind."""
    yield from _clients(empty)


@pytest.fixture(scope="session")
def painters(painting: GatewayProcess) -> Iterator[Clients]:
    """Clients of `painting`, by kind."""
    yield from _clients(painting)


