"""The platform server keeps RunPod's protocol towards the real SDK worker and the real SDK client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from handler.sdk import prepare_environment
from tests.support.client import Client
from tests.support.platform import Platform, serving
from tests.support.worker import WorkerProcess, running, wait_for

ECHO = ("-u", "-m", "tests.support.echo_worker")


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with serving(Platform(max_body=50_000)) as platform:
        yield platform


@pytest.fixture(scope="module")
def worker(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    with running(WorkerProcess(platform, tmp_path_factory.mktemp("echo"), "echo-1", ECHO)) as worker:
        yield worker


@pytest.fixture
def client(platform: Platform, worker: WorkerProcess) -> Client:
    return Client(platform)


@pytest.fixture
def endpoint(platform: Platform, worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> Any:
    prepare_environment()
    import runpod

    base, _, name = platform.url.rpartition("/")
    monkeypatch.setattr(runpod, "endpoint_url_base", base)
    return runpod.Endpoint(name, api_key=platform.api_key)


def test_a_job_reaches_the_worker_with_its_extras_and_comes_back(client: Client) -> None:
    extras = {"s3Config": {"bucketName": "b"}, "uploadUrl": "http://u", "uploadToken": "t"}
    record = client.done({"prompt": "grüße 世界 🎨"}, **extras)
    assert record["status"] == "COMPLETED"
    assert record["output"]["job"] == {"id": record["id"], "input": {"prompt": "grüße 世界 🎨"}, **extras}
    assert {"delayTime", "executionTime"} <= record.keys()
    assert record["workerId"] == "echo-1"


def test_an_error_fails_the_job_and_a_retry_runs_it_again(client: Client) -> None:
    record = client.done({"fail": "NO: thanks"})
    assert (record["status"], record["error"]) == ("FAILED", "NO: thanks")
    assert client.post(f"retry/{record['id']}")["status"] == "IN_QUEUE"
    assert client.result(record["id"])["status"] == "FAILED"
    with pytest.raises(requests.HTTPError, match="400"):
        client.post(f"retry/{client.done({})['id']}")


def test_cancelling_a_running_job_stops_it_and_a_queued_one_never_runs(
    client: Client, platform: Platform, worker: WorkerProcess
) -> None:
    running_id = client.run({"sleep": 60})
    # The plain SDK forgets a stop signal for a job it has taken and not begun, so its own word is waited for.
    wait_for(lambda: _began(worker, running_id), 60, "the job to begin")
    queued_id = client.run({})
    assert client.cancel(queued_id)["status"] == "CANCELLED"
    assert client.cancel(running_id)["status"] == "CANCELLED"
    assert client.done({})["status"] == "COMPLETED"
    assert not platform.seen("job-done", "echo-1", running_id)
    assert not platform.seen("job-done", "echo-1", queued_id)


def _began(worker: WorkerProcess, job_id: str) -> bool:
    return any(job_id in line and "Started." in line for line in worker.log().splitlines())


def test_purging_removes_queued_jobs_only(client: Client, worker: WorkerProcess) -> None:
    running_id = client.run({"sleep": 600})
    wait_for(lambda: _began(worker, running_id), 60, "the job to begin")
    queued = [client.run({}) for _ in range(3)]
    assert client.post("purge-queue") == {"removed": 3, "status": "completed"}
    assert {client.status(job_id)["status"] for job_id in queued} == {"CANCELLED"}
    assert client.status(running_id)["status"] == "IN_PROGRESS"
    client.cancel(running_id)
    assert client.done({})["status"] == "COMPLETED"


def test_forced_statuses_are_used_up(client: Client, platform: Platform) -> None:
    platform.force("job-done", 503)
    record = client.done({})
    assert record["status"] == "COMPLETED"
    assert [call.status for call in platform.seen("job-done", "echo-1", record["id"])] == [503, 200]


def test_a_body_above_the_limit_is_refused(client: Client, platform: Platform) -> None:
    job_id = client.run({"text": "x" * 50_000})
    wait_for(lambda: platform.seen("job-done", "echo-1", job_id), 60, "the result")
    assert platform.seen("job-done", "echo-1", job_id)[0].status == 400
    assert client.cancel(job_id)["status"] == "CANCELLED"


def test_what_comes_after_the_end_changes_nothing(client: Client, platform: Platform) -> None:
    record = client.done({})
    client.post(f"job-done/echo-1/{record['id']}", {"status": "IN_PROGRESS", "output": "late"})
    assert platform.jobs.by_id[record["id"]].late == [{"status": "IN_PROGRESS", "output": "late"}]
    assert client.status(record["id"]) == record


def test_unknown_jobs_operations_and_keys_are_refused(client: Client, platform: Platform) -> None:
    for path in ("status/none", "stream/none", "nothing"):
        with pytest.raises(requests.HTTPError, match="404"):
            client.get(path)
    with pytest.raises(requests.HTTPError, match="400"):
        client.post("run", {"prompt": "not in an input"})
    assert requests.get(f"{platform.url}/health", timeout=60).status_code == 401


def test_health_counts_jobs_and_workers(client: Client) -> None:
    before = client.get("health")
    client.done({})
    after = client.get("health")
    assert after["jobs"]["completed"] == before["jobs"]["completed"] + 1
    assert after["workers"]["ready"] == 1


def test_the_heartbeat_names_the_running_job(client: Client, platform: Platform, worker: WorkerProcess) -> None:
    job_id = client.run({"sleep": 600})
    wait_for(lambda: _began(worker, job_id), 60, "the job to begin")
    wait_for(
        lambda: any(job_id in call.query.get("job_id", "") for call in platform.seen("ping", "echo-1")),
        60, "a heartbeat that names the job",
    )  # fmt: skip
    client.cancel(job_id)
    assert client.done({})["status"] == "COMPLETED"


def test_the_sdk_client_can_run_wait_cancel_and_ask_for_health(endpoint: Any) -> None:
    assert endpoint.run_sync({"input": {"a": 1}})["job"]["input"] == {"a": 1}
    job = endpoint.run({"input": {"sleep": 0.1}})
    assert job.output(timeout=60)["job"]["id"] == job.job_id
    slow = endpoint.run({"input": {"sleep": 30}})
    assert slow.cancel()["status"] == "CANCELLED"
    assert endpoint.health()["jobs"]["inProgress"] == 0
    assert endpoint.purge_queue() == {"removed": 0, "status": "completed"}


def test_a_generator_streams_chunks_to_the_sdk_client(
    platform: Platform, endpoint: Any, tmp_path: Path, worker: WorkerProcess
) -> None:
    with serving(Platform()) as own:
        streaming = WorkerProcess(own, tmp_path, "stream-1", (*ECHO, "generator"))
        endpoint.rp_client.endpoint_url_base = own.url.rpartition("/")[0]
        with running(streaming):
            assert list(endpoint.run({"input": {"count": 3}}).stream()) == [0, 1, 2]
