"""An endpoint that is busy, broken, gone or forgetful: no job is lost, none is sent without need, and nothing of the
key or of foreign answers gets out."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx2
import pytest

from gateway.fleet.runpod import client
from gateway.jobs.model import State
from tests.gateway.fleet.runpod.conftest import Fronted, fronting
from tests.support.gateway import until
from tests.support.runpod_endpoint import ENDPOINT, KEY, Fault, RunpodStub

OUTPUT = {"images": [], "seeds": ["7"]}
STEP = {"image": 0, "images": 1, "step": 4, "steps": 30, "progress": 0.1333}


def readyz(fronted: Fronted) -> tuple[int, dict]:
    answer = httpx2.get(f"{fronted.served.url}/readyz", trust_env=False)
    return answer.status_code, answer.json()


def test_a_429_is_waited_out(fronted: Fronted) -> None:
    """`Retry-After` in seconds and as a date; all calls of the operation wait, and the job keeps its place."""
    fronted.stub.faults["run"].append(Fault(429, {"Retry-After": "1"}))
    fronted.stub.faults["status"].append(
        Fault(429, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)})
    )
    job = fronted.submit()
    remote = fronted.arrived()
    fronted.stub.show(remote, "COMPLETED", output=OUTPUT)
    ended = fronted.ended(job)
    assert (ended.output, ended.attempts) == (OUTPUT, 1)
    first, second = fronted.stub.of("run")
    assert second.at - first.at >= 1
    first, second = fronted.stub.of("status")
    assert second.at - first.at >= 0.9


def test_asking_survives_errors_silence_and_nonsense(fronted: Fronted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.5)
    fronted.stub.faults["status"].extend(
        [
            Fault(502),
            Fault(acts=False),
            Fault(after_s=1.5, status=200),
            Fault(200),
            Fault(200, body=b'{"status": "DREAMING"}'),
        ]
    )
    job = fronted.submit()
    fronted.stub.show(fronted.arrived(), "COMPLETED", output=OUTPUT)
    ended = fronted.ended(job)
    assert (ended.output, ended.attempts) == (OUTPUT, 1)
    assert len(fronted.stub.of("run")) == 1


def test_asking_gets_rarer_while_nothing_happens(fronted: Fronted) -> None:
    job = fronted.submit()
    remote = fronted.arrived()
    until(lambda: len(fronted.stub.of("status")) >= 5, 20)
    times = [call.at for call in fronted.stub.of("status")]
    assert times[4] - times[3] > 2 * (times[1] - times[0])
    fronted.stub.show(remote, "COMPLETED", output=OUTPUT)
    fronted.ended(job)


def test_a_job_that_cannot_be_sent_waits_here(fronted: Fronted, caplog: pytest.LogCaptureFixture) -> None:
    """The endpoint is called unfit meanwhile, and only one job tries it out."""
    fronted.stub.faults["run"].extend([Fault(500), Fault(503), Fault(acts=False)])
    with caplog.at_level(logging.INFO):
        job = fronted.submit()
        until(lambda: (now := fronted.now(job)).state is State.QUEUED and now.attempts == 1, 20)
        status, body = readyz(fronted)
        assert (status, body["workers"]["unhealthy"]) == (503, 1)
        assert body["troubles"] == [f"runpod:{ENDPOINT}: the connection broke"]
        fronted.stub.show(fronted.arrived(), "COMPLETED", output=OUTPUT)
        ended = fronted.ended(job)
    assert (ended.output, ended.attempts) == (OUTPUT, 2)
    assert readyz(fronted)[0] == 200
    assert KEY not in caplog.text
    assert "not for your eyes" not in caplog.text


@pytest.mark.parametrize(
    ("fault", "trouble"),
    [(Fault(401), "it refused the API key"), (Fault(404), "there is no endpoint of this id"),
     (Fault(302, {"Location": "/elsewhere"}), "it leads elsewhere: check the base URL")],
)  # fmt: skip
def test_what_the_operator_must_mend(fronted: Fronted, fault: Fault, trouble: str) -> None:
    fronted.stub.faults["run"].append(fault)
    job = fronted.submit()
    until(lambda: readyz(fronted)[1]["troubles"] == [f"runpod:{ENDPOINT}: {trouble}"], 10)
    until(lambda: fronted.now(job).state is State.QUEUED, 5)
    fronted.stub.show(fronted.arrived(), "COMPLETED", output=OUTPUT)
    assert fronted.ended(job).output == OUTPUT


def test_a_job_the_endpoint_does_not_take_fails(fronted: Fronted) -> None:
    fronted.stub.faults["run"].append(Fault(400))
    ended = fronted.ended(fronted.submit())
    assert ended.failure is not None
    assert (ended.failure.code, "eyes" in str(ended.failure)) == ("internal_server_error", False)


@pytest.mark.parametrize("output", [None, {}, STEP], ids=["none", "empty", "late progress"])
def test_a_result_that_got_lost_is_made_again(fronted: Fronted, output: object) -> None:
    """RunPod calls a job COMPLETED when its worker could not post the result (runpod-python issue 309)."""
    job = fronted.submit()
    fronted.stub.show(fronted.arrived(), "COMPLETED", **({} if output is None else {"output": output}))
    fronted.stub.show(fronted.arrived(2), "COMPLETED", output=OUTPUT)
    ended = fronted.ended(job)
    assert (ended.output, ended.attempts) == (OUTPUT, 2)
    assert "The endpoint lost the job" in fronted.lines(job)


def test_a_forgotten_job_is_made_again_but_not_for_ever(fronted: Fronted) -> None:
    job = fronted.submit()
    for number in range(1, 4):
        remote = fronted.arrived(number)
        del fronted.stub.jobs[remote.id]
        fronted.stub.jobs[f"gone {number}"] = remote
    ended = fronted.ended(job, 40)
    assert ended.failure is not None
    assert (ended.failure.code, ended.attempts) == ("worker_lost", 3)


def test_an_answer_that_got_lost_may_run_the_job_twice_and_ends_it_once(fronted: Fronted) -> None:
    fronted.stub.faults["run"].append(Fault(acts=True))
    job = fronted.submit()
    fronted.arrived(2)
    for number, remote in enumerate(list(fronted.stub.jobs.values())):
        fronted.stub.show(remote, "COMPLETED", output=OUTPUT | {"seeds": [str(number)]})
    ended = fronted.ended(job)
    assert (ended.output, ended.attempts) == (OUTPUT | {"seeds": ["1"]}, 1)


def test_a_gateway_starts_beside_an_endpoint_that_is_away(tmp_path: Path, stub: RunpodStub) -> None:
    stub.reset()
    stub.faults["health"].append(Fault(503))
    with fronting(tmp_path / "data", stub) as late:
        job = late.submit()
        until(late.served.gateway.fleet.workers.troubles, 10)
        assert not stub.of("run")
        stub.show(late.arrived(), "COMPLETED", output=OUTPUT)
        assert late.ended(job).output == OUTPUT
        metrics = httpx2.get(f"{late.served.url}/metrics", trust_env=False).text
        assert 'fooocus_runpod_workers{state="throttled"} 2.0' in metrics
        assert "fooocus_runpod_up 1.0" in metrics


def test_an_endpoint_is_left_alone_for_as_long_as_it_asks(fronted: Fronted) -> None:
    """A wait longer than a job should be held up for returns it to the queue."""
    fronted.stub.faults["run"].append(Fault(503, {"Retry-After": "11"}))
    job = fronted.submit()
    until(lambda: fronted.stub.of("run"), 10)
    until(lambda: fronted.now(job).state is State.QUEUED, 10)
    time.sleep(1.5)
    assert len(fronted.stub.of("run")) == 1
    fronted.served.run(fronted.served.gateway.jobs.cancel(job.id))
