"""A burst of jobs stays within the rates RunPod documents for an endpoint, although others use half of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx2
import pytest

from gateway.jobs.model import Job, State
from tests.gateway.fleet.runpod.conftest import Fronted, fronting
from tests.support.gateway_thread import OWNER, new_job
from tests.support.rates import DOCUMENTED, WINDOW_S, Rates
from tests.support.runpod_endpoint import ENDPOINT, KEY, RunpodStub

BURST = 600
OTHERS = {"run": 500, "status": 1000}
OUTPUT = {"images": [], "seeds": ["7"]}


def test_the_stub_counts_as_the_documents_say() -> None:
    rates = Rates({"status": 1999})
    for _ in range(1000):
        assert rates.begin("run", 100.0)
        rates.end("run")
    assert not rates.begin("run", 100.0 + WINDOW_S - 0.1)
    assert rates.begin("run", 100.0 + WINDOW_S)
    assert [rates.begin("status", 100.0) for _ in range(2)] == [True, False]
    assert [rates.begin("cancel", 100.0) for _ in range(21)] == [True] * 20 + [False]
    assert rates.refused == {"run": 1, "status": 1, "cancel": 1}


@pytest.mark.parametrize("operation", ["run", "status"])
def test_the_stub_refuses_what_is_too_much(stub: RunpodStub, operation: str) -> None:
    stub.reset()
    stub.rates.taken = {operation: DOCUMENTED[operation][0]}
    url = f"{stub.url}/v2/{ENDPOINT}/{operation}" + ("/1" if operation == "status" else "")
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = httpx2.request("POST" if operation == "run" else "GET", url, headers=headers, trust_env=False)
    assert answer.status_code == 429
    assert not stub.calls


def burst(fronted: Fronted) -> list[Job]:
    """Jobs submitted at once, each as it has ended."""

    async def run() -> list[Job]:
        gateway = fronted.served.gateway
        jobs = [await gateway.submit(OWNER, new_job({"prompt": f"{number}"})) for number in range(BURST)]
        return await asyncio.gather(*(gateway.jobs.wait(job.id, 120) for job in jobs))

    return fronted.served.run(run(), 180)


def test_a_burst_meets_no_limit_and_every_job_ends(tmp_path: Path, stub: RunpodStub) -> None:
    stub.reset()
    stub.output, stub.rates.taken = OUTPUT, OTHERS
    with fronting(tmp_path / "data", stub, runpod_jobs=200, max_queued=2 * BURST) as fronted:
        jobs = burst(fronted)
    assert [job for job in jobs if job.state is not State.COMPLETED or job.output != OUTPUT or job.attempts != 1] == []
    assert len(stub.of("run")) == BURST
    assert not stub.rates.refused
