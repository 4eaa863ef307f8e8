"""A worker on another machine: started in a shell with what `worker-env` printed, as the README says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.fleet import workers
from gateway.fleet.environment import worker_environment
from tests.support.gateway import WORKER_SECRET, GatewayProcess, RemoteWorker, joined, serving_gateway, until
from tests.support.gateway_thread import threaded_gateway
from tests.support.paper_worker import PNG
from tests.support.protocol_worker import CLIENT, ProtocolWorker
from tests.support.worker import clean_environment

RUN = "/runpod/v2/fooocus"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    """One that is known to its clients by a name which leads nowhere from here."""
    process = GatewayProcess(tmp_path / "gateway", ["--public-url", "https://gpu.example"])
    with serving_gateway(process):
        yield process


@pytest.fixture
def own(tmp_path: Path) -> Iterator[GatewayProcess]:
    """One that is known by the address it listens at."""
    with serving_gateway(GatewayProcess(tmp_path / "gateway")) as gateway:
        yield gateway


def test_it_takes_jobs_and_delivers(gateway: GatewayProcess, tmp_path: Path) -> None:
    worker_env = [sys.executable, "-m", "gateway", "worker-env", "gpu-2", "--public-url", gateway.url]
    environment = clean_environment(tmp_path / "worker")
    printed = subprocess.run(
        worker_env, cwd=tmp_path, env=environment | {"GATEWAY_WORKER_SECRET": WORKER_SECRET}, capture_output=True,
        check=True,
    )  # fmt: skip
    (tmp_path / "gpu-2.env").write_bytes(printed.stdout)
    start = f"set -a; . ./gpu-2.env; exec {sys.executable} -u -m tests.support.paper_worker"
    worker = subprocess.Popen(["sh", "-c", start], cwd=tmp_path, env=environment, start_new_session=True)
    try:
        until(lambda: gateway.workers()["idle"] == 1, 60)
        job_id = gateway.request("POST", f"{RUN}/run", {"input": {"prompt": "0.3 seconds"}})[1]["id"]
        done = until(
            lambda: (found := gateway.get(f"{RUN}/status/{job_id}")[1])["status"] not in ("IN_QUEUE", "IN_PROGRESS")
            and found,
        )
        assert done["status"] == "COMPLETED"
        assert done["workerId"] == "gpu-2"
        assert done["output"]["images"][0]["url"].startswith("https://gpu.example/files/")
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()
    until(lambda: gateway.workers()["idle"] == 0, 15)


PAPER = ("-u", "-m", "tests.support.paper_worker")


def without_questions(gateway: GatewayProcess, name: str) -> dict[str, str]:
    """The addresses of a template without `?`: the SDK puts its parameters behind the path, from `&` on."""
    told = worker_environment(gateway.url, name, "")
    return {variable: value.split("?")[0] for variable, value in told.items() if "_WEBHOOK_" in variable}


def statuses(gateway: GatewayProcess, *job_ids: str) -> list[str]:
    return [gateway.get(f"{RUN}/status/{job_id}")[1]["status"] for job_id in job_ids]


def submit(gateway: GatewayProcess, seconds: float) -> str:
    return gateway.request("POST", f"{RUN}/run", {"input": {"prompt": f"{seconds} seconds"}})[1]["id"]


@pytest.mark.parametrize(("questions", "at_once"), [(False, 1), (True, 2)], ids=["no-question-marks", "two-at-once"])
def test_the_real_sdk_works_in_its_other_ways(
    own: GatewayProcess, tmp_path: Path, questions: bool, at_once: int
) -> None:
    """Jobs, steps, stops, results: one of two is cancelled, the other goes on."""
    environment = {"FOOOCUS_CONCURRENCY": str(at_once)} | ({} if questions else without_questions(own, "sdk"))
    with joined(RemoteWorker(own, tmp_path / "worker", "sdk", PAPER, environment)):
        first, second = submit(own, 600), submit(own, 1.5)
        until(lambda: statuses(own, first, second) == ["IN_PROGRESS", "IN_PROGRESS" if at_once == 2 else "IN_QUEUE"])
        assert own.request("POST", f"{RUN}/cancel/{first}")[0] == 200
        until(lambda: statuses(own, second) == ["COMPLETED"], 30)
        done = own.get(f"{RUN}/status/{second}")[1]
        assert done["workerId"] == "sdk"
        assert CLIENT.get(done["output"]["images"][0]["url"]).content == PNG
        until(lambda: own.workers()["idle"] == 1, 30)


def test_a_heartbeat_that_outlives_its_worker_does_not_keep_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 of the main process: the SDK's heartbeat process goes on claiming the job, for ever if one lets it."""
    monkeypatch.setattr(workers, "SILENCE_S", 2.0)
    with threaded_gateway(tmp_path / "data", lease_s=600) as served:
        environment = clean_environment(tmp_path / "worker") | served.environment("gpu-3")
        environment["RUNPOD_PING_INTERVAL"] = "1000"
        command = [sys.executable, "-u", "-m", "tests.support.paper_worker"]
        worker = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            job = served.submit({"prompt": "600 seconds"})
            until(lambda: served.gateway.jobs.progress(job.id))
            os.kill(worker.pid, signal.SIGKILL)
            taken = until(ProtocolWorker(served, "other").take)
            assert taken["id"] == f"{job.id}-a2"
            # The heartbeat is what is left of its process group.
            worker.wait()
            os.killpg(worker.pid, 0)
        finally:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
