"""The real npm `runpod-sdk`, pointed at the gateway by its `baseUrl` alone: every call it has."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import GatewayProcess, echo_worker, joined, serving_gateway, until

CLIENT = Path(__file__).parents[2] / "support" / "runpod_js" / "call.mjs"
PROMPT = {"prompt": "a red circle on a blue background"}
PATIENCE_MS = 60_000
"""The client gives up after three seconds unless told otherwise, which a busy machine may need."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    home = tmp_path_factory.mktemp("runpod-js")
    process = GatewayProcess(home / "gateway")
    with serving_gateway(process), joined(echo_worker(process, home)):
        yield process


def call(gateway: GatewayProcess, method: str, *arguments: Any) -> Any:
    """What a method of the client's endpoint answers."""
    words = [f"{gateway.url}/runpod/v2", "any", "fooocus", method, *map(json.dumps, arguments)]
    done = subprocess.run(["node", CLIENT, *words], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_run_sync_gives_the_output(gateway: GatewayProcess) -> None:
    answer = call(gateway, "runSync", {"input": PROMPT}, PATIENCE_MS)
    assert (answer["status"], answer["completed"], answer["succeeded"]) == ("COMPLETED", True, True)
    assert answer["output"]["job"]["input"] == PROMPT


def test_run_status_and_stream(gateway: GatewayProcess) -> None:
    job = call(gateway, "run", {"input": PROMPT}, PATIENCE_MS)
    assert job["status"] == "IN_QUEUE"
    done = until(lambda: (seen := call(gateway, "status", job["id"], PATIENCE_MS))["completed"] and seen)
    assert (done["succeeded"], done["output"]["job"]["input"]) == (True, PROMPT)
    assert [piece["output"]["job"]["input"] for piece in call(gateway, "stream", job["id"])] == [PROMPT]


def test_cancel_ends_a_running_job(gateway: GatewayProcess) -> None:
    job = call(gateway, "run", {"input": {**PROMPT, "sleep": 300}}, PATIENCE_MS)
    until(lambda: call(gateway, "status", job["id"], PATIENCE_MS)["status"] == "IN_PROGRESS")
    assert call(gateway, "cancel", job["id"], PATIENCE_MS)["status"] == "CANCELLED"
    seen = call(gateway, "statusSync", job["id"], PATIENCE_MS)
    assert (seen["status"], seen["completed"], seen["succeeded"]) == ("CANCELLED", True, False)


def test_health_and_purge_queue(gateway: GatewayProcess) -> None:
    health = call(gateway, "health", PATIENCE_MS)
    assert {"completed", "failed", "inProgress", "inQueue", "retried"} <= health["jobs"].keys()
    assert {"idle", "initializing", "ready", "running", "throttled"} <= health["workers"].keys()
    assert call(gateway, "purgeQueue", PATIENCE_MS) == {"removed": 0, "status": "completed"}
