"""Who waits for a job and goes, or is sent away when the gateway ends, leaves none behind that is rendered for nobody;
one with an Idempotency-Key goes on, for its caller to come back for."""

from __future__ import annotations

import socket
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.jobs.model import Job, State
from tests.support.gateway import until
from tests.support.gateway_thread import ServedGateway, threaded_gateway

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(8)
RUN = "/run/fal-ai/fooocus"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "run": (RUN, {"json": {}}),
    "stream": (f"{RUN}/stream", {"json": {}}),
    "generation": ("/v1/generation/text-to-image", {"json": {}}),
    "describe": ("/v1/tools/describe-image", {"files": {"image": ("a.png", PICTURE, "image/png")}}),
}
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def post(served: ServedGateway, call: tuple[str, dict[str, Any]], **more: Any) -> httpx2.Response:
    path, sent = call
    with httpx2.Client(base_url=served.url, trust_env=False, timeout=30) as http:
        return http.post(path, **sent, **more)


def waiting(served: ServedGateway) -> Job:
    """The job that waits, once there is one."""
    until(lambda: served.gateway.jobs.counts().queued)
    (job,) = served.run(served.gateway.jobs.history("local", among=[State.QUEUED]))
    return job


def shut(served: ServedGateway, calling: Future[httpx2.Response]) -> httpx2.Response:
    """End the queue as SIGTERM does; what the call got."""
    served.run(served.gateway.jobs.drain(0))
    served.run(served.gateway.jobs.close())
    return calling.result(60)


def now(served: ServedGateway, job: Job) -> Job:
    found = served.run(served.gateway.jobs.get(job.id))
    assert found is not None
    return found


@calls
def test_who_is_sent_away_leaves_no_job(tmp_path: Path, call: tuple[str, dict[str, Any]]) -> None:
    with threaded_gateway(tmp_path / "data") as served, ThreadPoolExecutor(1) as threads:
        calling = threads.submit(post, served, call)
        job = waiting(served)
        reply = shut(served, calling)
        assert reply.status_code == 503
        assert int(reply.headers["retry-after"]) >= 1
        assert now(served, job).state is State.CANCELLED


@pytest.mark.parametrize("name", ["run", "stream"])
def test_a_keyed_job_outlives_the_gateway(tmp_path: Path, name: str) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    with threaded_gateway(tmp_path / "data") as served, ThreadPoolExecutor(1) as threads:
        calling = threads.submit(post, served, CALLS[name], headers=headers)
        job = waiting(served)
        assert shut(served, calling).status_code == 503
        assert now(served, job).state is State.QUEUED


def hang_up(served: ServedGateway, call: tuple[str, dict[str, Any]], **more: Any) -> Job:
    """Call, and leave while the job waits."""
    path, sent = call
    with httpx2.Client(base_url=served.url) as http:
        request = http.build_request("POST", path, **sent, **more)
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items()), "", ""]
    with socket.create_connection((request.url.host, request.url.port)) as connection:
        connection.sendall("\r\n".join(lines).encode() + request.read())
        return waiting(served)


@calls
def test_who_hangs_up_leaves_no_job(served: ServedGateway, call: tuple[str, dict[str, Any]]) -> None:
    job = hang_up(served, call)
    until(lambda: now(served, job).state is State.CANCELLED)


@pytest.mark.parametrize("name", ["run", "stream"])
def test_a_lost_connection_can_come_back_for_a_keyed_job(served: ServedGateway, name: str) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    job = hang_up(served, CALLS[name], headers=headers)
    with ThreadPoolExecutor(1) as threads:
        calling = threads.submit(post, served, CALLS[name], headers=headers)

        async def work() -> None:
            (lease,) = await served.gateway.jobs.take("worker", 1, 60)
            assert lease.job.id == job.id
            await served.gateway.jobs.finish(lease.id, "worker", {"images": [], "seeds": []})

        served.run(work())
        reply = calling.result(60)
    assert (reply.status_code, reply.json()) == (200, {"images": []})
