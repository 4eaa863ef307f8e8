"""Worker processes of a gateway: they share the queue, are started again when they die, and never outlive it.

The workers draw nothing (tests/support/paper_worker.py) but are real processes under the real SDK.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest

from gateway.jobs.model import Job, Progress, State
from tests.support.gateway import GatewayProcess, serving_gateway, until
from tests.support.gateway_thread import ServedGateway, threaded_gateway
from tests.support.local_workers import main_process, processes

PAPER = (sys.executable, "-u", "-m", "tests.support.paper_worker")
RUN = "/runpod/v2/fooocus"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    """A gateway with two workers."""
    with threaded_gateway(tmp_path_factory.mktemp("pair") / "data", workers=2, worker_command=PAPER) as served:
        until(lambda: served.gateway.fleet.workers.counts()["idle"] == 2, 60)
        yield served


def takes(seconds: float) -> dict[str, str]:
    return {"prompt": f"{seconds} seconds"}


def running_on(served: ServedGateway, job: Job) -> str:
    """The worker of a job, once it has one."""
    return until(lambda: (found := served.run(served.gateway.jobs.get(job.id))) and found.worker, 60)


def test_two_workers_share_the_queue(pair: ServedGateway) -> None:
    jobs = [pair.submit(takes(1)) for _ in range(4)]
    ended = [pair.wait(job) for job in jobs]
    assert {job.state for job in ended} == {State.COMPLETED}
    assert {job.worker for job in ended} == {"local-1", "local-2"}


def test_a_result_is_a_file_that_stays(pair: ServedGateway) -> None:
    ended = pair.wait(pair.submit(takes(0)))
    assert ended.output is not None
    stored = pair.run(pair.gateway.files.resolve(ended.output["images"][0]["url"]))
    assert stored is not None
    assert (stored.media_type, stored.owner, stored.job_id) == ("image/png", "local", ended.id)


def test_progress_is_seen_while_it_happens(pair: ServedGateway) -> None:
    job = pair.submit(takes(1))
    seen: list[tuple[float, Progress]] = []

    async def watch() -> None:
        async for event in pair.gateway.jobs.watch(job.id):
            if isinstance(event, Progress):
                seen.append((time.monotonic(), event))

    pair.run(watch())
    assert [progress.step for _, progress in seen] == list(range(1, 11))
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(seen)]
    assert max(gaps) < 2
    lines = [line.message for line in pair.run(pair.gateway.jobs.logs(job.id))]
    assert lines[0] == "Queued with 0 jobs ahead"
    assert lines[1].startswith("Started on worker local-")
    assert lines[2:] == [f"Step {step}/10 of image 1/1" for step in range(1, 11)]


def test_a_cancel_frees_the_worker_within_a_second(pair: ServedGateway) -> None:
    both = [pair.submit(takes(60)) for _ in range(2)]
    for job in both:
        running_on(pair, job)
    waiting = pair.submit(takes(0))
    started = time.monotonic()
    pair.run(pair.gateway.jobs.cancel(both[0].id))
    assert pair.run(pair.gateway.jobs.get(both[0].id)).state is State.CANCELLED
    assert pair.wait(waiting).state is State.COMPLETED
    # The SDK looks for the next job once a second, and the machine may be busy.
    assert time.monotonic() - started < 5
    pair.run(pair.gateway.jobs.cancel(both[1].id))


def test_a_killed_workers_job_is_run_again_and_completed_once(pair: ServedGateway, tmp_path: Path) -> None:
    """Its heartbeat process, which would go on claiming the job, dies with it."""
    data = pair.gateway.settings.data
    until(lambda: pair.gateway.fleet.workers.counts()["idle"] == 2, 60)
    job = pair.submit(takes(1.5))
    number = int(running_on(pair, job).removeprefix("local-"))
    before = set(processes(data))
    os.kill(main_process(data, number), signal.SIGKILL)
    ended = pair.wait(job)
    assert (ended.state, ended.attempts) == (State.COMPLETED, 2)
    lines = [line.message for line in pair.run(pair.gateway.jobs.logs(job.id))]
    assert sum("Started on worker" in line for line in lines) == 2
    until(lambda: pair.gateway.fleet.workers.counts()["idle"] == 2, 60)
    after = set(processes(data))
    assert len(after) == len(before)
    assert len(after & before) == len(before) // 2


def test_a_job_that_breaks_every_worker_fails_and_the_workers_come_back(pair: ServedGateway) -> None:
    """Each asks to be replaced and is; the job is tried as often as the settings say."""
    data = pair.gateway.settings.data
    before = set(processes(data))
    ended = pair.wait(pair.submit({"prompt": "device lost"}), 120)
    assert (ended.state, ended.attempts) == (State.FAILED, 3)
    assert ended.failure is not None
    assert ended.failure.code in ("worker_lost", "device_lost")
    until(lambda: pair.gateway.fleet.workers.counts()["idle"] == 2, 120)
    assert len(set(processes(data))) == len(before)
    assert not set(processes(data)) & before


PAUSE = re.compile(r"the next try is in ([\d.]+) s")


def pauses(records: list[logging.LogRecord]) -> list[tuple[float, float]]:
    """When a worker's end was told, and the pause that was told with it, in seconds."""
    found = ((record.created, PAUSE.search(record.getMessage())) for record in records)
    return [(at, float(told[1])) for at, told in found if told]


def test_a_worker_that_cannot_start_says_why_and_is_tried_less_and_less_often(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = (sys.executable, "-c", "import sys; sys.exit('The model is missing.')")
    with threaded_gateway(tmp_path / "data", workers=1, worker_command=command) as served:
        (trouble,) = until(served.gateway.fleet.workers.troubles, 60)
        assert trouble == "local-1: it ended with code 1: The model is missing."
        assert not served.gateway.fleet.workers.warm()
        ends = until(lambda: (found := pauses(caplog.records))[2:] and found, 60)
    assert [pause for _, pause in ends[:3]] == [1, 2, 4]
    assert all(later - earlier > pause for (earlier, pause), (later, _) in pairwise(ends))
    assert processes(tmp_path / "data") == {}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway process with one worker of its own."""
    environment = {"GATEWAY_WORKER_COMMAND": json.dumps(PAPER)}
    process = GatewayProcess(tmp_path_factory.mktemp("alone"), ["--workers", "1"], environment)
    with serving_gateway(process):
        yield process
    until(lambda: processes(process.data) == {}, 30)


def test_a_job_that_waits_for_the_first_model_says_so(alone: GatewayProcess) -> None:
    """The first to be submitted, while the worker starts."""
    url = "/queue/fal-ai/fooocus"
    request_id = alone.request("POST", url, {})[1]["request_id"]
    of_request = f"{url}/requests/{request_id}/status?logs=1"
    ended = until(lambda: (found := alone.get(of_request))[0] == 200 and found[1], 60)
    queued, started = (line["message"] for line in ended["logs"])
    assert queued == "Queued with 0 jobs ahead; a worker is loading its model"
    assert started == "Started on worker local-1"


@pytest.fixture
def crashing(alone: GatewayProcess) -> GatewayProcess:
    """That gateway, its worker warm."""
    until(lambda: alone.get("/readyz")[0] == 200, 60)
    return alone


def status(gateway: GatewayProcess, job_id: str) -> dict:
    return gateway.get(f"{RUN}/status/{job_id}")[1]


def test_nothing_outlives_a_killed_gateway_and_its_jobs_are_finished_by_the_next(crashing: GatewayProcess) -> None:
    running = crashing.request("POST", f"{RUN}/run", {"input": takes(2)})[1]["id"]
    waiting = crashing.request("POST", f"{RUN}/run", {"input": takes(0)})[1]["id"]
    until(lambda: status(crashing, running)["status"] == "IN_PROGRESS", 60)
    assert len(processes(crashing.data)) >= 2
    crashing.kill()
    until(lambda: processes(crashing.data) == {}, 20)
    crashing.start()
    until(lambda: status(crashing, waiting)["status"] == "COMPLETED", 90)
    assert status(crashing, running)["status"] == "COMPLETED"


def test_sigterm_lets_a_running_job_finish(crashing: GatewayProcess) -> None:
    running = crashing.request("POST", f"{RUN}/run", {"input": takes(2)})[1]["id"]
    waiting = crashing.request("POST", f"{RUN}/run", {"input": takes(0)})[1]["id"]
    until(lambda: status(crashing, running)["status"] == "IN_PROGRESS", 60)
    assert "the built-in demo model" in json.loads(crashing.log().splitlines()[0])["message"]
    crashing.terminate()
    until(lambda: "Draining" in crashing.log())
    for url in (f"{RUN}/run", "/queue/fal-ai/fooocus", "/run/fal-ai/fooocus"):
        refused = httpx2.post(crashing.url + url, json={"input": takes(0)}, trust_env=False)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert status(crashing, running)["status"] == "IN_PROGRESS"
    assert crashing.wait(60) == 0
    assert processes(crashing.data) == {}
    crashing.arguments = ()
    crashing.start()
    assert status(crashing, running)["status"] == "COMPLETED"
    assert status(crashing, waiting)["status"] == "IN_QUEUE"


def test_the_log_of_a_talkative_worker_stays_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one process that goes on writing; its latest words are there."""
    monkeypatch.setattr("gateway.fleet.local.MAX_LOG", 50_000)
    monkeypatch.setattr("gateway.fleet.local.LOOK_S", 0.02)
    talk = "import time\nfor n in range(4000): print(n, 'x' * 500, flush=True); time.sleep(0.0005)\ntime.sleep(60)"
    data = tmp_path / "data"
    with threaded_gateway(data, workers=1, worker_command=(sys.executable, "-c", talk)):
        log, old = data / "logs" / "worker-1.log", data / "logs" / "worker-1.old.log"
        until(lambda: log.exists() and b"3999 x" in log.read_bytes() + (old.read_bytes() if old.exists() else b""), 30)
        until(lambda: log.stat().st_size <= 50_000, 5)
        assert 0 < old.stat().st_size <= 50_000
        assert b"\0" not in log.read_bytes()


def test_a_job_that_outlasts_the_drain_is_run_by_the_next_gateway(tmp_path: Path) -> None:
    environment = {"GATEWAY_WORKER_COMMAND": json.dumps(PAPER), "GATEWAY_DRAIN_S": "0.5"}
    with serving_gateway(GatewayProcess(tmp_path, ["--workers", "1"], environment)) as gateway:
        running = gateway.request("POST", f"{RUN}/run", {"input": takes(3)})[1]["id"]
        until(lambda: status(gateway, running)["status"] == "IN_PROGRESS", 60)
        gateway.terminate()
        assert gateway.wait(60) == 0
        assert stored(gateway, "state, attempts") == [("queued", 1)]
        gateway.start()
        until(lambda: status(gateway, running)["status"] == "COMPLETED", 60)
        assert stored(gateway, "state, attempts") == [("completed", 2)]


def stored(gateway: GatewayProcess, columns: str) -> list[tuple]:
    """Of all jobs, as they are on disk."""
    with closing(sqlite3.connect(f"file:{gateway.data}/gateway.sqlite3?mode=ro", uri=True)) as store:
        return store.execute(f"SELECT {columns} FROM jobs").fetchall()
