"""A gateway that ends leaves its jobs to the endpoint, and the next one goes on asking for them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.jobs.model import State
from tests.gateway.fleet.runpod.conftest import fronting
from tests.support.gateway import until
from tests.support.gateway_thread import ServedGateway, threaded_gateway
from tests.support.runpod_endpoint import RETENTION_S, RunpodStub

OUTPUT = {"images": [], "seeds": ["7"]}


@pytest.fixture(autouse=True)
def _fresh(stub: RunpodStub) -> None:
    stub.reset()


def drain(served: ServedGateway, grace_s: float = 30) -> None:
    """What SIGTERM does."""
    served.loop.call_soon_threadsafe(served.gateway.fleet.ask_to_end)
    served.run(served.gateway.jobs.drain(grace_s))


def test_a_job_is_not_sent_again(tmp_path: Path, stub: RunpodStub) -> None:
    with fronting(tmp_path / "data", stub) as first:
        job = first.submit()
        remote = first.arrived()
        stub.show(remote, "IN_PROGRESS")
        until(lambda: "Started" in first.lines(job))
        started = time.monotonic()
        drain(first.served)
        assert time.monotonic() - started < 10
        assert first.now(job).state is State.RUNNING
    with fronting(tmp_path / "data", stub) as second:
        until(lambda: second.now(job).state is State.RUNNING)
        stub.show(remote, "COMPLETED", output=OUTPUT)
        ended = second.ended(job)
        assert (ended.output, ended.attempts) == (OUTPUT, 1)
    assert (len(stub.of("run")), len(stub.of("cancel"))) == (1, 0)


def test_a_result_of_the_meantime_is_taken_however_long_we_were_away(tmp_path: Path, stub: RunpodStub) -> None:
    with fronting(tmp_path / "data", stub) as first:
        job = first.submit(execution_timeout_s=1)
        remote = first.arrived()
        until(lambda: stub.of("status"))
    stub.show(remote, "COMPLETED", output=OUTPUT)
    time.sleep(1.2)
    with fronting(tmp_path / "data", stub) as second:
        assert second.ended(job).output == OUTPUT
    assert len(stub.of("run")) == 1


def test_after_half_an_hour_the_result_is_gone_and_made_again(tmp_path: Path, stub: RunpodStub) -> None:
    with fronting(tmp_path / "data", stub) as first:
        job = first.submit()
        remote = first.arrived()
        until(lambda: stub.of("status"))
    stub.show(remote, "COMPLETED", output=OUTPUT | {"seeds": ["too late"]})
    stub.aged_s = RETENTION_S + 1
    with fronting(tmp_path / "data", stub) as second:
        stub.show(second.arrived(2), "COMPLETED", output=OUTPUT)
        ended = second.ended(job)
        assert (ended.output, ended.attempts) == (OUTPUT, 2)


def test_what_nobody_waits_for_any_more_is_cancelled_there(tmp_path: Path, stub: RunpodStub) -> None:
    """Its owner cancelled while the endpoint was served by nobody: here, by a gateway with another fleet."""
    with fronting(tmp_path / "data", stub) as first:
        job = first.submit()
        remote = first.arrived()
        until(lambda: stub.of("status"))
    with threaded_gateway(tmp_path / "data") as between:
        between.run(between.gateway.jobs.cancel(job.id))
    assert remote.shown["status"] == "IN_QUEUE"
    with fronting(tmp_path / "data", stub) as second:
        until(lambda: remote.shown["status"] == "CANCELLED", 10)
        until(lambda: not second.served.gateway.fleet.endpoint.worker.leases, 10)
        assert second.now(job).state is State.CANCELLED
    calls = len(stub.calls)
    with fronting(tmp_path / "data", stub) as third:
        until(third.served.gateway.fleet.workers.warm, 10)
        assert {call.operation for call in stub.calls[calls:]} == {"health"}


def test_a_job_that_was_not_sent_yet_waits_for_the_next(tmp_path: Path, stub: RunpodStub) -> None:
    with fronting(tmp_path / "data", stub, runpod_jobs=1) as first:
        jobs = [first.submit(), first.submit()]
        remote = first.arrived()
        until(lambda: stub.of("status"))
        drain(first.served)
        assert first.now(jobs[1]).state is State.QUEUED
    with fronting(tmp_path / "data", stub) as second:
        stub.show(second.arrived(2), "COMPLETED", output=OUTPUT)
        stub.show(remote, "COMPLETED", output=OUTPUT)
        assert {second.ended(job).attempts for job in jobs} == {1}
