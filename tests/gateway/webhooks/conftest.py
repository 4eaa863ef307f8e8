"""A gateway that tells receivers on this machine, in haste."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway.webhooks.receivers import Receiver, answering, cut, dribble, flood, hang, in_turn, receiving, reset
from tests.support.gateway_thread import ServedGateway, threaded_gateway

HASTE = {
    "webhook_first_timeout_s": 30.0,
    "webhook_timeout_s": 2.0,
    "webhook_first_delay_s": 0.05,
    "webhook_max_delay_s": 2.0,
    "webhook_max_attempts": 4,
}
"""The policy in tests: fal's delays become hundredths; a receiver has time to answer, however busy the machine."""

IMPATIENCE = HASTE | {"webhook_first_timeout_s": 0.2, "webhook_timeout_s": 0.3}
"""For receivers that never answer."""


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    data = tmp_path_factory.mktemp("gateway") / "data"
    with threaded_gateway(data, allow_private_webhooks=True, **HASTE) as served:
        yield served


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    data = tmp_path_factory.mktemp("impatient") / "data"
    with threaded_gateway(data, allow_private_webhooks=True, **IMPATIENCE) as served:
        yield served


@pytest.fixture
def zoo() -> Iterator[Receiver]:
    """Receivers good and bad, one for each path."""
    away = {"Location": "/moved"}
    with receiving(
        ok=answering(200, b"thanks"),
        empty=answering(204),
        moved_for_good=answering(301, **away),
        moved=answering(307, **away),
        wrong=answering(400),
        unknown=answering(404),
        gone=answering(410),
        busy=in_turn(answering(429, Retry_After="1"), answering(200)),
        broken=answering(500, b"secret of the receiver"),
        mending=in_turn(answering(500), hang, reset, answering(200)),
        silent=hang,
        rude=reset,
        short=cut,
        slow=dribble,
        endless=flood,
    ) as receiver:
        yield receiver
