"""With two jobs taken at once the GPU renders one at a time, cancelling one leaves the other as it should be, and short
jobs no longer wait for the second in which the SDK looks for more."""

from __future__ import annotations

import time

from tests.e2e.jobs import endless, pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import WorkerProcess, wait_for

LONG = 40
"""Steps of a job that outlasts the second in which the SDK takes another."""

SHORT = 6
"""Jobs whose rate is measured."""


def taken(platform: Platform, *job_ids: str) -> bool:
    return all(platform.jobs.by_id[job_id].status == "IN_PROGRESS" for job_id in job_ids)


def test_two_jobs_share_the_gpu_one_after_the_other(pair_worker: WorkerProcess) -> None:
    platform = pair_worker.platform
    client = Client(platform)
    first, second = client.run(small(LONG)), client.run(small(LONG))
    wait_for(lambda: taken(platform, first, second), 60, "both jobs to be taken")
    assert pixels(client.result(first)) == pixels(client.result(second))
    one, other = (platform.seen("progress", "pair", job_id) for job_id in (first, second))
    assert one[-1].at < other[0].at or other[-1].at < one[0].at, "Two jobs were on the GPU at once."
    assert platform.seen("job-take-batch", "pair")


def test_cancelling_the_running_job_lets_the_waiting_one_run(pair_worker: WorkerProcess, reference: bytes) -> None:
    platform = pair_worker.platform
    client = Client(platform)
    doomed, sibling = client.run(endless()), client.run(small())
    wait_for(lambda: taken(platform, doomed, sibling), 60, "both jobs to be taken")
    wait_for(lambda: platform.jobs.by_id[doomed].progress, 60, "the first job to run")
    client.cancel(doomed)
    assert pixels(client.result(sibling)) == [reference]
    assert not platform.seen("job-done", "pair", doomed)


def test_cancelling_the_waiting_job_leaves_the_running_one_alone(pair_worker: WorkerProcess, reference: bytes) -> None:
    platform = pair_worker.platform
    client = Client(platform)
    running, waiting = client.run(small(LONG)), client.run(endless())
    wait_for(lambda: taken(platform, running, waiting), 60, "both jobs to be taken")
    client.cancel(waiting)
    assert client.result(running)["status"] == "COMPLETED"
    assert pixels(client.done(small())) == [reference]
    assert not platform.seen("job-done", "pair", waiting)
    assert not platform.jobs.by_id[waiting].progress


def jobs_per_s(worker: WorkerProcess) -> float:
    """The rate of jobs that all wait at once and take no time on any machine: their input is refused."""
    client = Client(worker.platform)
    client.done(small(num_images=0))
    started = time.monotonic()
    jobs = [client.run(small(num_images=0)) for _ in range(SHORT)]
    assert {client.result(job)["status"] for job in jobs} == {"FAILED"}
    return SHORT / (time.monotonic() - started)


def test_two_at_once_lift_the_sdks_ceiling_of_a_job_a_second(
    lone_worker: WorkerProcess, pair_worker: WorkerProcess
) -> None:
    """At 2 it is nearly twice the rate at 1."""
    alone, pair = jobs_per_s(lone_worker), jobs_per_s(pair_worker)
    print(f"jobs a second: {alone:.2f} at FOOOCUS_CONCURRENCY=1, {pair:.2f} at 2")
    assert pair > 1.35 * alone, (alone, pair)
