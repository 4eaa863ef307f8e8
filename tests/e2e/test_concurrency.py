"""With two jobs taken at once the GPU renders one at a time, and cancelling one leaves the other as it should be."""

from __future__ import annotations

from tests.e2e.conftest import Start
from tests.e2e.jobs import endless, pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import wait_for


def in_progress(platform: Platform, *job_ids: str) -> bool:
    return all(platform.jobs.by_id[job_id].status == "IN_PROGRESS" for job_id in job_ids)


def test_two_jobs_at_once_and_one_cancelled(start: Start, own_platform: Platform, reference: bytes) -> None:
    environment = {"FOOOCUS_CONCURRENCY": "2", "FOOOCUS_PROGRESS_INTERVAL_S": "0"}
    worker = start(environment=environment)
    client = Client(own_platform)

    first, second = client.run(small(30, num_images=2)), client.run(small(30, num_images=2, seed=8))
    records = [client.result(job_id) for job_id in (first, second)]
    assert own_platform.seen("job-take-batch", worker.worker_id)
    one, other = (own_platform.seen("progress", worker.worker_id, job_id) for job_id in (first, second))
    assert one[-1].at < other[0].at or other[-1].at < one[0].at, "Two jobs were on the GPU at once."
    assert pixels(records[0])[1] == pixels(records[1])[0], "Seed 7 + 1 and seed 8 should be one picture."

    doomed, sibling = client.run(endless()), client.run(small())
    wait_for(lambda: in_progress(own_platform, doomed, sibling), 10, "both jobs to be taken")
    wait_for(lambda: own_platform.jobs.by_id[doomed].progress, 10, "the first job to run")
    client.cancel(doomed)
    assert pixels(client.result(sibling)) == [reference]

    running, waiting = client.run(small(30, num_images=2)), client.run(endless())
    wait_for(lambda: in_progress(own_platform, running, waiting), 10, "both jobs to be taken")
    client.cancel(waiting)
    assert pixels(client.result(running)) == pixels(records[0])
    assert not own_platform.seen("job-done", worker.worker_id, doomed)
    assert not own_platform.seen("job-done", worker.worker_id, waiting)
    assert pixels(client.done(small())) == [reference]
