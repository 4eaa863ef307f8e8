"""Pictures in a webhook are where its receiver can get them: at the address the submit used, or the configured one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.gateway.webhooks.ended import OUTPUT
from tests.gateway.webhooks.receivers import Receiver
from tests.support.gateway_thread import ServedGateway, threaded_gateway

KEY = "a key in plain text"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
SENT_TO = {"Host": "gpu.example:8888", "Authorization": f"Key {KEY}"}
PUBLIC = "https://pictures.example"


@pytest.fixture(scope="module")
def open_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    data = tmp_path_factory.mktemp("gateway") / "data"
    with threaded_gateway(data, allow_private_webhooks=True, apikey=KEY) as served:
        yield served


def submit(served: ServedGateway, door: str, hook: str) -> None:
    """A job of this door, sent as if by another machine."""
    http = httpx2.Client(base_url=served.url, headers=SENT_TO, trust_env=False, timeout=60)
    reply = {
        "fal": lambda: http.post("/queue/fal-ai/fooocus", json={}, params={"fal_webhook": hook}),
        "runpod": lambda: http.post("/runpod/v2/fooocus/run", json={"input": {}, "webhook": hook}),
        "fooocus-api": lambda: http.post(
            "/v1/generation/text-to-image", json={"async_process": True, "webhook_url": hook}
        ),
    }[door]()
    assert reply.status_code == 200, reply.text


def render(served: ServedGateway) -> str:
    """Work on the job that waits; the path of its picture."""

    async def work() -> str:
        files, jobs = served.gateway.files, served.gateway.jobs
        (lease,) = await jobs.take("worker", 1, 5)
        file = await files.add(PNG, name="0.png", owner=lease.job.owner)
        image = {**OUTPUT["images"][0], "url": files.url(file, "http://only-the-worker:1")}
        assert await jobs.finish(lease.id, "worker", {**OUTPUT, "images": [image]})
        return files.url(file, "")

    return served.run(work())


def pictures(said: Any) -> list[str]:
    """Every URL of an image in a webhook's body, whatever its dialect."""
    if isinstance(said, dict):
        own = [said["url"]] if isinstance(said.get("url"), str) else []
        return own + [url for value in said.values() for url in pictures(value)]
    return [url for item in said for url in pictures(item)] if isinstance(said, list) else []


@pytest.mark.parametrize("door", ["fal", "runpod", "fooocus-api"])
def test_links_use_the_address_of_the_submit(open_door: ServedGateway, zoo: Receiver, door: str) -> None:
    submit(open_door, door, f"{zoo.url}/ok")
    path = render(open_door)
    (call,) = zoo.wait_for("/ok", 1)
    assert pictures(json.loads(call.body)) == [f"http://gpu.example:8888{path}"]


def test_a_public_url_wins(tmp_path: Path, zoo: Receiver) -> None:
    settings = {"allow_private_webhooks": True, "apikey": KEY, "public_url": f"{PUBLIC}/"}
    with threaded_gateway(tmp_path / "data", **settings) as served:
        submit(served, "fal", f"{zoo.url}/ok")
        path = render(served)
        (call,) = zoo.wait_for("/ok", 1)
    assert pictures(json.loads(call.body)) == [f"{PUBLIC}{path}"]


@pytest.mark.parametrize("own", ["", "/own"])
def test_runpods_door_tells_the_gateways_receiver_too(tmp_path: Path, zoo: Receiver, own: str) -> None:
    settings = {"allow_private_webhooks": True, "apikey": KEY, "webhook_url": f"{zoo.url}/all"}
    with threaded_gateway(tmp_path / "data", **settings) as served:
        submit(served, "runpod", f"{zoo.url}{own}" if own else "")
        render(served)
        (call,) = zoo.wait_for("/all", 1)
        assert json.loads(call.body)["status"] == "COMPLETED"
        assert len(zoo.wait_for("/own", len(own) // 4)) == len(own) // 4
