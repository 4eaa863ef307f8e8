"""With two jobs taken at once the GPU renders one at a time, and cancelling one leaves the other as it should be."""

from __future__ import annotations

from tests.e2e.jobs import endless, pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import WorkerProcess, wait_for

LONG = 40
"""Steps of a job that outlasts the second in which the SDK takes another."""


def taken(platform: Platform, *job_ids: str) -> bool:
    return all(platform.jobs.by_id[job_id].status == "IN_PROGRESS" for job_id in job_ids)


def test_two_jobs_share_the_gpu_one_after_the_other(pair_worker: WorkerProcess) -> None:
    platform = pair_worker.platform
    client = Client(platform)
    first, second = client.run(small(LONG)), client.run(small(LONG))
    wait_for(lambda: taken(platform, first, second), 30, "both jobs to be taken")
    assert pixels(client.result(first)) == pixels(client.result(second))
    one, other = (platform.seen("progress", "pair", job_id) for job_id in (first, second))
    assert one[-1].at < other[0].at or other[-1].at < one[0].at, "Two jobs were on the GPU at once."
    assert platform.seen("job-take-batch", "pair")


def test_cancelling_the_running_job_lets_the_waiting_one_run(pair_worker: WorkerProcess, reference: bytes) -> None:
    platform = pair_worker.platform
    client = Client(platform)
    doomed, sibling = client.run(endless()), client.run(small())
    wait_for(lambda: taken(platform, doomed, sibling), 30, "both jobs to be taken")
    wait_for(lambda: platform.jobs.by_id[doomed].progress, 30, "the first job to run")
    client.cancel(doomed)
    assert pixels(client.result(sibling)) == [reference]
    assert not platform.seen("job-done", "pair", doomed)


def test_cancelling_the_waiting_job_leaves_the_running_one_alone(pair_worker: WorkerProcess, reference: bytes) -> None:
    platform = pair_worker.platform
    client = Client(platform)
    running, waiting = client.run(small(LONG)), client.run(endless())
    wait_for(lambda: taken(platform, running, waiting), 30, "both jobs to be taken")
    client.cancel(waiting)
    assert client.result(running)["status"] == "COMPLETED"
    assert pixels(client.done(small())) == [reference]
    assert not platform.seen("job-done", "pair", waiting)
    assert not platform.jobs.by_id[waiting].progress
