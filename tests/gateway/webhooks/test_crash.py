"""A gateway killed while it delivers tells everything after its next start: at least once, under the same ids."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from urllib.parse import quote

from tests.gateway.webhooks.receivers import Handler, Receiver, receiving
from tests.support.gateway import GatewayProcess, serving_gateway
from tests.support.worker import wait_for

CYCLES, EACH = 2, 8
IMPATIENT = {"GATEWAY_WEBHOOK_FIRST_TIMEOUT_S": "5", "GATEWAY_WEBHOOK_FIRST_DELAY_S": "0.1"}


def test_a_killed_gateway_delivers_after_its_next_start(tmp_path: Path) -> None:
    draw = random.Random(6)
    gateway = GatewayProcess(tmp_path, arguments=["--allow-private-webhooks"], environment=IMPATIENT)
    accepted: set[str] = set()

    def slow(handler: Handler, before: int) -> None:
        time.sleep(draw.uniform(0, 0.2))
        handler.answer(200)

    with receiving(hook=slow) as receiver, serving_gateway(gateway):
        for _ in range(CYCLES):
            accepted |= {fail(gateway, f"{receiver.url}/hook") for _ in range(EACH)}
            time.sleep(draw.uniform(0, 0.3))
            gateway.kill()
            gateway.start()
        wait_for(lambda: accepted <= told(receiver).keys(), 60, "all webhooks")
        for job_id in accepted:
            wait_for(lambda job_id=job_id: delivered(gateway, job_id), 60, "the log")
    assert all(len(ids) == 1 for ids in told(receiver).values())


def fail(gateway: GatewayProcess, hook: str) -> str:
    """A job that ends as it is accepted: its input is not valid."""
    path = f"/queue/fal-ai/fooocus?fal_webhook={quote(hook, safe='')}"
    status, answer = gateway.request("POST", path, {"num_images": 99})
    assert status == 200, answer
    return answer["request_id"]


def delivered(gateway: GatewayProcess, job_id: str) -> bool:
    (delivery,) = gateway.get(f"/webhooks/jobs/{job_id}")[1]["deliveries"]
    return delivery["state"] == "delivered"


def told(receiver: Receiver) -> dict[str, set[str]]:
    """Of which jobs a receiver has heard, and under which webhook ids."""
    heard: dict[str, set[str]] = {}
    for call in receiver.of("/hook"):
        heard.setdefault(json.loads(call.body)["request_id"], set()).add(call.headers["webhook-id"])
    return heard
