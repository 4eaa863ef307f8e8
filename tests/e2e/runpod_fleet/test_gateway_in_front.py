"""A gateway in front of a gateway that plays RunPod, with a worker under the real SDK behind both: what fal's door
shows of a job that ran there, its cancel, its webhook, and what a kill in the middle changes (nothing)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.webhooks.receivers import receiving
from tests.support.gateway import GatewayProcess, RemoteWorker, joined, serving_gateway, until
from tests.support.paper_worker import PNG

KEY = "the-key-of-the-endpoint"
APP = "/queue/fal-ai/fooocus"
PAPER = ("-u", "-m", "tests.support.paper_worker")


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """The endpoint `fooocus`."""
    home = tmp_path_factory.mktemp("back")
    gateway = GatewayProcess(home / "gateway", environment={"GATEWAY_APIKEY": KEY})
    with serving_gateway(gateway), joined(RemoteWorker(gateway, home, "paper-1", PAPER)):
        yield gateway


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, back: GatewayProcess) -> Iterator[GatewayProcess]:
    environment = {
        "GATEWAY_RUNPOD_API_KEY": KEY,
        "GATEWAY_RUNPOD_BASE_URL": f"{back.url}/runpod/v2",
        "GATEWAY_ALLOW_PRIVATE_WEBHOOKS": "true",
    }
    arguments = ("--fleet", "runpod", "--runpod-endpoint", "fooocus")
    with serving_gateway(GatewayProcess(tmp_path_factory.mktemp("front"), arguments, environment)) as gateway:
        until(lambda: gateway.get("/readyz")[0] == 200, 20)
        yield gateway
        assert KEY not in gateway.log()


def submit(front: GatewayProcess, prompt: str, query: str = "") -> str:
    status, body = front.request("POST", f"{APP}{query}", {"prompt": prompt, "aspect_ratio": "256x256"})
    assert status == 200, body
    return body["request_id"]


def status(front: GatewayProcess, request_id: str) -> dict[str, Any]:
    return front.get(f"{APP}/requests/{request_id}/status?logs=1")[1]


def finished(front: GatewayProcess, request_id: str) -> dict[str, Any]:
    until(lambda: status(front, request_id)["status"] == "COMPLETED", 60)
    answer, body = front.get(f"{APP}/requests/{request_id}")
    assert answer == 200, body
    return body


def runs(back: GatewayProcess) -> dict[str, int]:
    return back.get("/runpod/v2/fooocus/health", {"Authorization": f"Bearer {KEY}"})[1]["jobs"]


def test_a_picture_comes_home(front: GatewayProcess) -> None:
    request_id = submit(front, "0.5 seconds")
    (image,) = finished(front, request_id)["images"]
    assert image["url"].startswith(f"{front.url}/files/")
    answer, text = front.get(image["url"].removeprefix(front.url))
    assert (answer, text) == (200, PNG.decode("utf-8", "replace"))


def test_steps_are_in_the_log(front: GatewayProcess) -> None:
    request_id = submit(front, "3 seconds")
    seen = until(lambda: (now := status(front, request_id))["status"] == "IN_PROGRESS" and "Step" in str(now) and now)
    lines = [line["message"] for line in seen["logs"]]
    assert lines[1].startswith("Sent to RunPod endpoint fooocus as ")
    assert lines[2] == "Started on worker paper-1"
    finished(front, request_id)


def test_a_cancel_frees_the_worker_there(front: GatewayProcess, back: GatewayProcess) -> None:
    request_id = submit(front, "60 seconds")
    until(lambda: "Step" in str(status(front, request_id)))
    started = time.monotonic()
    assert front.request("PUT", f"{APP}/requests/{request_id}/cancel")[0] == 202
    until(lambda: runs(back)["inProgress"] == 0, 10)
    finished(front, submit(front, "0 seconds"))
    assert time.monotonic() - started < 20


def test_a_webhook_tells_the_end(front: GatewayProcess) -> None:
    with receiving() as receiver:
        request_id = submit(front, "0 seconds", f"?fal_webhook={receiver.url}/hook")
        (call,) = receiver.wait_for("/hook", 1, 30)
    body = json.loads(call.body)
    assert (body["request_id"], body["status"]) == (request_id, "OK")
    assert "/files/" in body["payload"]["images"][0]["url"]


def test_a_gateway_killed_in_the_middle_sends_nothing_twice(front: GatewayProcess, back: GatewayProcess) -> None:
    before = runs(back)
    request_id = submit(front, "4 seconds")
    until(lambda: "Step" in str(status(front, request_id)))
    front.kill()
    front.start()
    (image,) = finished(front, request_id)["images"]
    assert front.get(image["url"].removeprefix(front.url))[0] == 200
    after = runs(back)
    assert after["completed"] == before["completed"] + 1
    assert (after["failed"], after["inQueue"] + after["inProgress"]) == (before["failed"], 0)


def test_sigterm_does_not_wait_for_the_endpoint(front: GatewayProcess, tmp_path: Path) -> None:
    request_id = submit(front, "6 seconds")
    until(lambda: "Step" in str(status(front, request_id)))
    front.terminate()
    assert front.wait(20) == 0
    front.start()
    assert status(front, request_id)["status"] == "IN_PROGRESS"
    finished(front, request_id)
