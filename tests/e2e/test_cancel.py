"""A cancelled job posts nothing, frees the GPU within a step, and leaves the next job's picture as it should be."""

from __future__ import annotations

from tests.e2e.jobs import endless, pixels, small
from tests.support.client import Client
from tests.support.platform import Platform
from tests.support.worker import WorkerProcess, wait_for

STOP_S = 60.0
"""The SDK may pause a second before it asks for stop signals again; a step takes a tenth, the job many minutes."""

LORAS = [{"path": "strong.safetensors", "scale": 1}]


def test_a_queued_job_never_reaches_the_worker(client: Client, worker: WorkerProcess, platform: Platform) -> None:
    taken = [client.run(endless()) for _ in range(2)]
    wait_for(lambda: {platform.jobs.by_id[job].status for job in taken} == {"IN_PROGRESS"}, 60, "both to be taken")
    queued = client.run(endless())
    assert client.cancel(queued)["status"] == "CANCELLED"
    for job in taken:
        client.cancel(job)
    assert client.done(small(1))["status"] == "COMPLETED"
    assert queued not in worker.log()
    assert not platform.seen("job-done", worker.worker_id, queued)


def test_cancelling_in_mid_denoise_stops_within_a_step(
    client: Client, worker: WorkerProcess, platform: Platform, reference: bytes
) -> None:
    job_id = client.run(endless(loras=LORAS))
    job = platform.jobs.by_id[job_id]
    wait_for(lambda: len(job.progress) >= 5, 60, "the job to be well under way")
    assert client.cancel(job_id)["status"] == "CANCELLED"
    wait_for(lambda: "Job stopped." in _lines_of(worker, job_id), STOP_S, "the worker to stop the job")
    late = len(job.late)

    assert pixels(client.done(small())) == [reference], "The cancelled job's LoRA is still in the model."
    assert not platform.seen("job-done", worker.worker_id, job_id)
    assert len(job.late) - late <= 1, "Steps went on after the stop."


def test_a_job_cancelled_as_soon_as_it_is_taken_does_not_run_on(
    client: Client, worker: WorkerProcess, platform: Platform, reference: bytes
) -> None:
    for _ in range(4):
        job_id = client.run(endless())
        job = platform.jobs.by_id[job_id]
        wait_for(lambda job=job: job.status == "IN_PROGRESS", 60, "the job to be taken")
        client.cancel(job_id)
        client.cancel(job_id)
        wait_for(lambda job_id=job_id: "Job stopped." in _lines_of(worker, job_id), STOP_S, "the worker to stop it")
    assert pixels(client.done(small())) == [reference]


def _lines_of(worker: WorkerProcess, job_id: str) -> str:
    return "\n".join(line for line in worker.log().splitlines() if job_id in line)
