"""Calls to the endpoint: within the platform's rates, bounded in size and time, and silent about the key."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.__main__ import main
from gateway.fleet.runpod import client
from gateway.fleet.runpod.client import Client
from gateway.fleet.runpod.errors import Denied, EndpointError, Gone, Unavailable
from gateway.fleet.runpod.pace import JITTER, Backoff, Lane
from gateway.settings import Settings
from tests.support.runpod_endpoint import ENDPOINT, KEY, Fault, RunpodStub

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_lane_bounds_rate_and_number() -> None:
    lane, open_now, most = Lane(per_s=50, at_once=3), 0, 0

    async def call() -> None:
        nonlocal open_now, most
        async with lane:
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0.05)
            open_now -= 1

    started = time.monotonic()
    await asyncio.gather(*(call() for _ in range(21)))
    assert most == 3
    assert time.monotonic() - started >= 20 / 50


async def test_a_paused_lane_begins_nothing() -> None:
    lane = Lane(per_s=1000, at_once=10)
    lane.pause(0.3)
    started = time.monotonic()
    async with lane:
        assert time.monotonic() - started >= 0.3


def test_pauses_grow_to_a_bound_and_differ() -> None:
    pauses = Backoff(1, 4, 2)
    seen = [pauses.next() for _ in range(50)]
    for pause, plain in zip(seen, [1, 2, *[4] * 48], strict=True):
        assert plain * (1 - JITTER) <= pause <= plain * (1 + JITTER)
    assert len(set(seen)) > 40
    pauses.reset()
    assert pauses.next() < 2


async def raised(stub: RunpodStub, fault: Fault, key: str = KEY) -> EndpointError:
    stub.reset()
    stub.faults["status"].append(fault)
    caller = Client(f"{stub.url}/v2", ENDPOINT, key)
    try:
        with pytest.raises(EndpointError) as error:
            await caller.status("some-job")
    finally:
        await caller.close()
    assert KEY not in repr(error.value)
    assert "eyes" not in str(error.value)
    assert error.value.__cause__ is None
    return error.value


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(Fault(404), Gone), (Fault(401), Denied), (Fault(403), Denied), (Fault(307), Denied), (Fault(429), Unavailable),
     (Fault(500), Unavailable), (Fault(418), Unavailable), (Fault(acts=False), Unavailable),
     (Fault(200, body=b"[1]"), Unavailable), (Fault(200, body=b"[" * 100_000), Unavailable)],
)  # fmt: skip
async def test_what_answers_come_to(stub: RunpodStub, fault: Fault, kind: type[EndpointError]) -> None:
    assert type(await raised(stub, fault)) is kind


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("100000", client.MAX_PAUSE_S), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("soon", None), ("-1", None)],
)
async def test_retry_after(stub: RunpodStub, text: str, seconds: float | None) -> None:
    assert (await raised(stub, Fault(503, {"Retry-After": text}))).retry_after_s == seconds


async def test_answers_are_bounded(stub: RunpodStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_ANSWER", 1000)
    assert "more than 1000 bytes" in str(await raised(stub, Fault(200, body=b"x" * 5000)))


async def test_nobody_is_there() -> None:
    caller = Client("http://127.0.0.1:1/v2", ENDPOINT, KEY)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await caller.health()
    await caller.close()


@pytest.mark.parametrize(
    ("given", "name"),
    [({}, "runpod_endpoint"), ({"runpod_endpoint": "ab"}, "runpod_api_key"),
     ({"runpod_endpoint": "a/b", "runpod_api_key": KEY}, "runpod_endpoint"),
     ({"runpod_endpoint": "ab", "runpod_api_key": f"{KEY}\n"}, "runpod_api_key"),
     ({"runpod_endpoint": "ab", "runpod_api_key": KEY, "runpod_base_url": "file:///x"}, "runpod_base_url")],
)  # fmt: skip
def test_settings_that_cannot_work(given: dict, name: str) -> None:
    with pytest.raises(ValidationError) as error:
        Settings(fleet="runpod", **given)
    assert error.value.errors()[0]["loc"] == (name,)


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--fleet", "runpod", "--data", str(tmp_path / "data")])
    assert end.value.code == 2
    assert "runpod_endpoint" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_workers_of_this_machine_are_asked_for_beside_an_endpoint() -> None:
    given = {"fleet": "runpod", "runpod_endpoint": "ab", "runpod_api_key": KEY}
    assert Settings(**given).workers == 0
    assert Settings(**given, workers=2).workers == 2
    assert Settings().workers == 1
