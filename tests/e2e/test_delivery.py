"""A result reaches the platform through its bad moments; one that it refuses becomes a short error."""

from __future__ import annotations

import pytest

from tests.e2e.jobs import ERROR_LINE, pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import WorkerProcess


def statuses(platform: Platform, worker: WorkerProcess, job_id: str) -> list[int]:
    return [call.status for call in platform.seen("job-done", worker.worker_id, job_id)]


def test_server_errors_are_retried_without_rendering_again(
    client: Client, platform: Platform, worker: WorkerProcess, reference: bytes
) -> None:
    platform.force("job-done", 500, 500)
    record = client.done(small())
    assert pixels(record) == [reference]
    assert statuses(platform, worker, record["id"]) == [500, 500, 200]
    posts = platform.seen("job-done", worker.worker_id, record["id"])
    assert len({call.text for call in posts}) == 1
    assert worker.log().count("Started.") == len({line for line in worker.log().splitlines() if "Started." in line})


@pytest.mark.parametrize("refusal", [400, 413])
def test_a_refused_result_becomes_an_error(
    client: Client, platform: Platform, worker: WorkerProcess, refusal: int
) -> None:
    platform.force("job-done", refusal)
    record = client.done(small(1))
    assert record["status"] == "FAILED"
    assert ERROR_LINE.fullmatch(record["error"])
    assert record["error"].startswith("RESULT_REFUSED: ")
    assert statuses(platform, worker, record["id"]) == [refusal, 200]


def test_posts_carry_the_key_and_the_jobs_own_id(client: Client, platform: Platform, worker: WorkerProcess) -> None:
    job_id = client.done(small(2))["id"]
    calls = [*platform.seen("progress", worker.worker_id, job_id), *platform.seen("job-done", worker.worker_id, job_id)]
    assert calls
    for call in calls:
        assert call.headers["Authorization"] == platform.api_key
        assert call.headers["X-Request-ID"] == job_id
        assert call.query == {"gpu": "STUB", "isStream": "false"}
