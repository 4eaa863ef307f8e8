"""A storm of failing job-takes neither ends the worker nor keeps it from the next job."""

from __future__ import annotations

from tests.e2e.jobs import pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import WorkerProcess


def test_the_worker_comes_through_storms_of_every_kind(lone_worker: WorkerProcess, reference: bytes) -> None:
    worker = lone_worker
    platform, client = worker.platform, Client(worker.platform)
    storm = [*[204] * 50, *[400] * 50, *[500] * 50, *[502, 401, 404, 204] * 10, 429]
    before = worker.polls()
    platform.force("job-take", *storm)
    platform.force("job-stop", 500, 404, 204)
    first, second = client.run(small()), client.run(small(seed=8))
    assert pixels(client.result(first)) == [reference]
    assert client.result(second)["status"] == "COMPLETED"
    assert worker.polls() - before >= len(storm) + 1


def test_a_refused_heartbeat_does_not_hurt(client: Client, platform: Platform, worker: WorkerProcess) -> None:
    platform.force("ping", 500, 429, 404)
    assert client.done(small(1))["status"] == "COMPLETED"
