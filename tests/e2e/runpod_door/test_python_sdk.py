"""The real `runpod` client, pointed at the gateway by its base URL alone: every call it has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
import runpod
from runpod import AsyncioEndpoint, AsyncioJob, Endpoint

from tests.support.gateway import GatewayProcess, echo_worker, joined, serving_gateway, until
from tests.support.receiver import receiver

PROMPT = {"prompt": "a red circle on a blue background"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    home = tmp_path_factory.mktemp("runpod-door")
    process = GatewayProcess(home / "gateway", environment={"GATEWAY_ALLOW_PRIVATE_WEBHOOKS": "true"})
    with serving_gateway(process), joined(echo_worker(process, home)):
        yield process


@pytest.fixture
def base(gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the client points; nothing else about it changes."""
    url = f"{gateway.url}/runpod/v2"
    monkeypatch.setattr(runpod, "endpoint_url_base", url)
    monkeypatch.setattr(runpod, "api_key", "any")
    return url


@pytest.fixture
def endpoint(base: str) -> Endpoint:
    return Endpoint("fooocus")


def test_run_status_and_output(endpoint: Endpoint) -> None:
    job = endpoint.run({"input": PROMPT})
    assert job.job_id.endswith("-u1")
    output = job.output(timeout=60)
    assert output["job"]["input"] == PROMPT
    assert job.status() == "COMPLETED"


def test_run_sync_gives_the_output(endpoint: Endpoint) -> None:
    assert endpoint.run_sync(PROMPT, timeout=60)["job"]["input"] == PROMPT


def test_a_job_that_takes_longer_than_the_wait_goes_on(base: str) -> None:
    body = {"input": {**PROMPT, "sleep": 3}}
    record = requests.post(f"{base}/fooocus/runsync", json=body, params={"wait": 1000}, timeout=60).json()
    assert record["id"].startswith("sync-")
    assert record["status"] in ("IN_QUEUE", "IN_PROGRESS")
    record = requests.get(f"{base}/fooocus/status-sync/{record['id']}", timeout=120).json()
    assert record["status"] == "COMPLETED"
    assert record["executionTime"] >= 3000
    assert record["delayTime"] >= 0
    assert record["workerId"] == "echo-1"


def test_cancel_frees_the_worker(endpoint: Endpoint) -> None:
    job = endpoint.run({"input": {**PROMPT, "sleep": 60}})
    until(lambda: job.status() == "IN_PROGRESS")
    assert job.cancel(timeout=60)["status"] == "CANCELLED"
    assert job.status() == "CANCELLED"
    assert endpoint.run_sync(PROMPT, timeout=60)["job"]["input"] == PROMPT


def test_a_wrong_input_fails_the_job_and_names_the_field(base: str) -> None:
    job = requests.post(f"{base}/fooocus/run", json={"input": {"num_images": 0}}, timeout=60).json()
    record = requests.get(f"{base}/fooocus/status/{job['id']}", timeout=60).json()
    assert record["status"] == "FAILED"
    assert "num_images" in record["error"]
    assert record["output"]["detail"][0]["loc"] == ["body", "num_images"]


def test_a_failed_job_can_be_retried(base: str) -> None:
    body = {"input": {**PROMPT, "fail": "OUT_OF_MEMORY: too big"}}
    record = requests.post(f"{base}/fooocus/runsync", json=body, timeout=60).json()
    assert (record["status"], record["error"]) == ("FAILED", "OUT_OF_MEMORY: too big")
    again = requests.post(f"{base}/fooocus/retry/{record['id']}", timeout=60).json()
    assert again["id"] == record["id"]
    assert again["status"] in ("IN_QUEUE", "IN_PROGRESS")
    done = requests.get(f"{base}/fooocus/status-sync/{record['id']}", timeout=60).json()
    assert done["status"] == "FAILED"


def test_only_a_failed_job_can_be_retried(base: str) -> None:
    record = requests.post(f"{base}/fooocus/runsync", json={"input": PROMPT}, timeout=60).json()
    assert requests.post(f"{base}/fooocus/retry/{record['id']}", timeout=60).status_code == 400


def test_purging_removes_waiting_jobs_only(endpoint: Endpoint) -> None:
    running = endpoint.run({"input": {**PROMPT, "sleep": 600}})
    until(lambda: running.status() == "IN_PROGRESS")
    waiting = [endpoint.run({"input": PROMPT}) for _ in range(3)]
    assert endpoint.purge_queue(timeout=60) == {"removed": 3, "status": "completed"}
    assert [job.status() for job in waiting] == ["CANCELLED"] * 3
    assert running.status() == "IN_PROGRESS"
    running.cancel(timeout=60)
    assert endpoint.run_sync(PROMPT, timeout=60)["job"]["input"] == PROMPT


def test_health_counts_jobs_and_workers(endpoint: Endpoint) -> None:
    before = endpoint.health(timeout=60)
    endpoint.run_sync(PROMPT, timeout=60)
    after = endpoint.health(timeout=60)
    assert after["jobs"]["completed"] == before["jobs"]["completed"] + 1
    assert after["workers"]["idle"] + after["workers"]["running"] == 1


def test_stream_ends_with_the_result(endpoint: Endpoint) -> None:
    assert [piece["job"]["input"] for piece in endpoint.run({"input": PROMPT}).stream()] == [PROMPT]


def test_the_asynchronous_client(base: str) -> None:
    async def run() -> Any:
        async with aiohttp.ClientSession() as session:
            job: AsyncioJob = await AsyncioEndpoint("fooocus", session).run(PROMPT)
            return await job.output(timeout=60)

    assert asyncio.run(run())["job"]["input"] == PROMPT


@pytest.mark.parametrize("complete", [True, False])
def test_a_bucket_of_the_clients_reaches_the_worker(base: str, complete: bool) -> None:
    bucket = {"accessId": "id", "accessSecret": "secret", "bucketName": "b", "endpointUrl": "https://s3.example.com"}
    bucket |= {"objectPath": "pictures/today", "region": "eu-west-1"} if complete else {}
    record = requests.post(f"{base}/fooocus/runsync", json={"input": PROMPT, "s3Config": bucket}, timeout=60).json()
    assert record["output"]["job"]["s3Config"] == bucket


def test_a_policy_ends_a_job_that_runs_too_long(base: str) -> None:
    body = {"input": {**PROMPT, "sleep": 60}, "policy": {"executionTimeout": 5000}}
    record = requests.post(f"{base}/fooocus/runsync", json=body, timeout=60).json()
    assert record["status"] == "TIMED_OUT"


def test_ttl_ends_jobs_that_run_and_jobs_that_wait(base: str, endpoint: Endpoint) -> None:
    policy = {"ttl": 10_000}
    running, waiting = (endpoint.run({"input": {**PROMPT, "sleep": 60}, "policy": policy}) for _ in range(2))
    until(lambda: running.status() == "IN_PROGRESS")
    record = requests.get(f"{base}/fooocus/status-sync/{running.job_id}?wait=30000", timeout=60).json()
    assert record["status"] == "TIMED_OUT"
    assert 8_000 < record["delayTime"] + record["executionTime"] < 60_000
    record = requests.get(f"{base}/fooocus/status-sync/{waiting.job_id}?wait=30000", timeout=60).json()
    assert (record["status"], "executionTime" in record) == ("TIMED_OUT", False)
    assert endpoint.run_sync(PROMPT, timeout=60)["job"]["input"] == PROMPT


def test_a_job_of_low_priority_lets_others_go_first(base: str, endpoint: Endpoint) -> None:
    blocker = endpoint.run({"input": {**PROMPT, "sleep": 600}})
    until(lambda: blocker.status() == "IN_PROGRESS")
    low = endpoint.run({"input": {**PROMPT, "sleep": 0.5}, "policy": {"lowPriority": True}})
    normal = endpoint.run({"input": {**PROMPT, "sleep": 0.5}})
    blocker.cancel(timeout=60)
    records = [
        requests.get(f"{base}/fooocus/status-sync/{job.job_id}?wait=30000", timeout=60).json() for job in (low, normal)
    ]
    assert [record["status"] for record in records] == ["COMPLETED"] * 2
    assert records[0]["delayTime"] > records[1]["delayTime"]


def test_unknown_jobs_and_bodies_are_told_apart(base: str) -> None:
    job = requests.post(f"{base}/fooocus/runsync", json={"input": PROMPT}, timeout=60).json()
    assert requests.get(f"{base}/other/status/{job['id']}", timeout=60).status_code == 404
    assert requests.get(f"{base}/fooocus/status/nothing", timeout=60).status_code == 404
    refused = requests.post(f"{base}/fooocus/run", json={"inputs": {}}, timeout=60)
    assert (refused.status_code, "input" in refused.json()["error"]) == (400, True)


def test_the_webhook_has_the_record(base: str) -> None:
    with receiver() as (url, posts):
        job = requests.post(f"{base}/fooocus/run", json={"input": PROMPT, "webhook": url}, timeout=60).json()
        post = until(lambda: posts and posts[0])
    assert (post["id"], post["status"], post["input"], post["webhook"]) == (job["id"], "COMPLETED", PROMPT, url)
    assert post["output"]["job"]["input"] == PROMPT


def test_a_wrong_key_is_told_as_the_cloud_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = GatewayProcess(tmp_path, environment={"GATEWAY_APIKEY": "the right key"})
    with serving_gateway(process):
        monkeypatch.setattr(runpod, "endpoint_url_base", f"{process.url}/runpod/v2")
        with pytest.raises(RuntimeError, match="401"):
            Endpoint("fooocus", api_key="a wrong key").health()
        assert Endpoint("fooocus", api_key="the right key").health()["jobs"]["inQueue"] == 0
