"""Gateways the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway_thread import ServedGateway, threaded_gateway


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    """A gateway without workers and without keys; polls are held for half a second."""
    with threaded_gateway(tmp_path_factory.mktemp("gateway") / "data", worker_hold_s=0.5) as gateway:
        yield gateway
