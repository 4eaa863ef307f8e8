"""A result the platform would refuse is never posted: the job fails with a clear error instead."""

from __future__ import annotations

from tests.e2e.conftest import Start
from tests.e2e.jobs import pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import WorkerProcess

MARGIN = 200
"""Bytes by which the timings and names of two equal jobs may differ."""


def posted_bytes(platform: Platform, worker: WorkerProcess, job_id: str) -> int:
    [post] = platform.seen("job-done", worker.worker_id, job_id)
    return len(post.text.encode())


def test_a_result_below_the_limit_is_posted_and_one_above_it_is_an_error(
    client: Client, platform: Platform, worker: WorkerProcess, start: Start, own_platform: Platform, reference: bytes
) -> None:
    large = small(aspect_ratio="128x136")
    limit = posted_bytes(platform, worker, client.done(small())["id"]) + MARGIN
    assert posted_bytes(platform, worker, client.done(large)["id"]) > limit + MARGIN

    own_platform.max_body = limit
    limited = start(environment={"FOOOCUS_MAX_RESULT_BYTES": str(limit)})
    own = Client(own_platform)
    assert pixels(own.done(small())) == [reference]
    record = own.done(large)
    assert record["status"] == "FAILED"
    assert record["error"].startswith("RESULT_TOO_LARGE: ")
    assert (record["output"]["status"], record["output"]["retryable"]) == (500, False)
    assert own.done({**large, "output_format": "jpeg"})["status"] == "COMPLETED"
    assert {call.status for call in own_platform.seen("job-done", limited.worker_id)} == {200}
