"""Jobs at a RunPod endpoint: sent once, followed to their end, cancelled there, failed with the endpoint's words."""

from __future__ import annotations

import json
import time

import pytest

from gateway.jobs.model import Progress, State
from tests.gateway.fleet.runpod.conftest import Fronted
from tests.support.gateway import until
from tests.support.runpod_endpoint import ENDPOINT, KEY, Fault

OUTPUT = {"images": [], "seeds": ["7"]}
STEP = {"image": 0, "images": 1, "step": 4, "steps": 30, "progress": 0.1333}


def test_a_job_goes_there_and_its_result_comes_back(fronted: Fronted) -> None:
    job = fronted.submit({"prompt": "ein Kreis, ü"}, execution_timeout_s=90, low_priority=True)
    remote = fronted.arrived()
    assert remote.body == {
        "input": {"prompt": "ein Kreis, ü"},
        "policy": {"executionTimeout": 90_000, "lowPriority": True},
    }
    assert fronted.stub.of("run")[0].headers["Authorization"] == f"Bearer {KEY}"
    fronted.stub.show(remote, "IN_PROGRESS", workerId="gpu9")
    until(lambda: "Started on worker gpu9" in fronted.lines(job))
    fronted.stub.show(remote, "COMPLETED", output=OUTPUT, executionTime=900)
    ended = fronted.ended(job)
    assert (ended.state, ended.output, ended.worker) == (State.COMPLETED, OUTPUT, f"runpod:{ENDPOINT}")
    assert fronted.lines(job)[1:] == [f"Sent to RunPod endpoint {ENDPOINT} as {remote.id}", "Started on worker gpu9"]


def test_a_clients_own_bucket_goes_along(fronted: Fronted) -> None:
    bucket = {"accessId": "a", "accessSecret": "b", "bucketName": "c", "endpointUrl": "https://s3.example"}
    job = fronted.submit(extra={"s3Config": bucket})
    remote = fronted.arrived()
    assert remote.body["s3Config"] == bucket
    output = {"images": [{"url": "https://s3.example/c/0.png"}]}
    fronted.stub.show(remote, "COMPLETED", output=output)
    assert fronted.ended(job).output == output


def test_progress_is_the_queues(fronted: Fronted) -> None:
    job = fronted.submit()
    remote = fronted.arrived()
    fronted.stub.show(remote, "IN_PROGRESS", output=STEP)
    seen = until(lambda: fronted.served.gateway.jobs.progress(job.id))
    assert seen == Progress(0, 1, 4, 30, 0.1333)
    fronted.stub.show(remote, "IN_PROGRESS", output=STEP | {"step": 5})
    until(lambda: fronted.served.gateway.jobs.progress(job.id).step == 5)
    fronted.stub.show(remote, "COMPLETED", output=OUTPUT)
    fronted.ended(job)
    assert fronted.lines(job)[-2:] == ["Step 4/30 of image 1/1", "Step 5/30 of image 1/1"]


def test_a_cancel_stops_it_there(fronted: Fronted) -> None:
    job = fronted.submit()
    remote = fronted.arrived()
    fronted.stub.show(remote, "IN_PROGRESS")
    until(lambda: "Started" in fronted.lines(job))
    fronted.stub.faults["cancel"].append(Fault(500))
    started = time.monotonic()
    fronted.served.run(fronted.served.gateway.jobs.cancel(job.id))
    until(lambda: remote.shown["status"] == "CANCELLED", 10)
    assert time.monotonic() - started < 5
    assert fronted.now(job).state is State.CANCELLED
    assert len(fronted.stub.of("cancel")) == 2


def test_a_cancel_while_it_is_being_sent_reaches_it(fronted: Fronted) -> None:
    fronted.stub.faults["run"].append(Fault(acts=True, after_s=0.5))
    job = fronted.submit()
    until(lambda: fronted.stub.of("run"))
    fronted.served.run(fronted.served.gateway.jobs.cancel(job.id))
    remote = fronted.arrived()
    until(lambda: remote.shown["status"] == "CANCELLED", 10)


def test_a_job_past_its_time_is_stopped_there(fronted: Fronted) -> None:
    job = fronted.submit(execution_timeout_s=1)
    remote = fronted.arrived()
    fronted.stub.show(remote, "IN_PROGRESS")
    ended = fronted.ended(job)
    assert ended.failure is not None
    assert ended.failure.code == "generation_timeout"
    until(lambda: remote.shown["status"] == "CANCELLED", 10)


def test_waiting_there_does_not_count_as_running(fronted: Fronted) -> None:
    """Also when a dead worker's job waits there again."""
    job = fronted.submit(execution_timeout_s=1.5)
    remote = fronted.arrived()
    time.sleep(2)
    assert fronted.now(job).state is State.RUNNING
    fronted.stub.show(remote, "IN_PROGRESS")
    until(lambda: "Started" in fronted.lines(job))
    fronted.stub.show(remote, "IN_QUEUE")
    time.sleep(2)
    fronted.stub.show(remote, "COMPLETED", output=OUTPUT)
    assert fronted.ended(job).output == OUTPUT
    assert len(fronted.stub.of("run")) == 1


CRASH = json.dumps({"error_type": "KeyError", "error_traceback": "File /secret/path.py"})
ENDS = [
    ("FAILED", {"error": "INVALID_INPUT: no", "output": {"status": 422, "detail": [{"loc": ["body"]}]}},
     ("invalid_input", 422)),
    ("FAILED", {"error": CRASH}, ("internal_server_error", 500)),
    ("FAILED", {}, ("internal_server_error", 500)),
    ("FAILED", {"error": {"message": "/secret"}}, ("internal_server_error", 500)),
    ("COMPLETED", {"output": {"error": "OUT_OF_MEMORY: small", "status": 500}}, ("out_of_memory", 500)),
    ("COMPLETED", {"output": ["/secret"]}, ("internal_server_error", 500)),
    ("TIMED_OUT", {}, ("startup_timeout", 504)),
    ("TIMED_OUT", {"executionTime": 600_000}, ("generation_timeout", 504)),
    ("CANCELLED", {}, ("client_cancelled", 499)),
]  # fmt: skip


@pytest.mark.parametrize(("status", "more", "expected"), ENDS)
def test_failures_are_ours(fronted: Fronted, status: str, more: dict, expected: tuple) -> None:
    job = fronted.submit()
    fronted.stub.show(fronted.arrived(), status, **more)
    ended = fronted.ended(job)
    assert ended.state is State.FAILED
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.status) == expected
    assert "secret" not in str(ended.failure)


def test_the_queue_keeps_what_does_not_fit_there(fronted: Fronted) -> None:
    limit = fronted.served.gateway.settings.runpod_jobs
    jobs = [fronted.submit() for _ in range(limit + 2)]
    fronted.arrived(limit)
    time.sleep(0.3)
    assert len(fronted.stub.jobs) == limit
    assert [fronted.served.gateway.jobs.position(job.id) for job in jobs[-2:]] == [0, 1]
    for number in range(limit + 2):
        fronted.arrived(number + 1)
        fronted.stub.show(list(fronted.stub.jobs.values())[number], "COMPLETED", output=OUTPUT)
    assert {fronted.ended(job).state for job in jobs} == {State.COMPLETED}

