"""A disk without room for pictures: no job is accepted, none is handed out, and both go on once there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.jobs.model import State
from tests.support.gateway_thread import OWNER, ServedGateway, new_job
from tests.support.protocol_worker import CLIENT, ProtocolWorker

SUBMITS: dict[str, tuple[str, dict[str, Any]]] = {
    "fal": ("/queue/fal-ai/fooocus", {}),
    "run": ("/run/fal-ai/fooocus", {}),
    "fooocus-api": ("/v1/generation/text-to-image", {"async_process": True}),
    "runpod": ("/runpod/v2/fooocus/run", {"input": {}}),
}


@contextmanager
def full(served: ServedGateway) -> Iterator[None]:
    """As if the disk had less left than files have to leave."""
    disk = served.gateway.files.disk
    usual, disk.min_free = disk.min_free, 2**62
    try:
        yield
    finally:
        disk.min_free = usual


@pytest.mark.parametrize(("path", "body"), SUBMITS.values(), ids=SUBMITS)
def test_submits_are_refused_for_now(served: ServedGateway, path: str, body: dict[str, Any]) -> None:
    with full(served):
        reply = CLIENT.post(served.url + path, json=body)
    assert reply.status_code == 503
    assert int(reply.headers["retry-after"]) >= 1
    assert served.gateway.jobs.counts().queued == 0


def test_what_was_accepted_waits_for_room(served: ServedGateway) -> None:
    worker = ProtocolWorker(served, "w")
    job = served.submit({})
    with full(served):
        assert worker.take() is None
        assert served.run(served.gateway.jobs.get(job.id)).state is State.QUEUED
    taken = worker.take() or worker.take() or worker.must_take()
    assert taken["id"] == f"{job.id}-a1"
    url, token = taken["uploadUrl"].replace("{file_name}", "0.png"), taken["uploadToken"]
    picture = b"\x89PNG\r\n\x1a\n" + bytes(8)
    assert CLIENT.put(url, content=picture, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    worker.done(taken["id"], {"output": {}})


def test_a_poll_that_is_held_gets_its_job_once_there_is_room(served: ServedGateway) -> None:
    """Nothing else happens meanwhile that would wake it."""

    async def through_the_shortage() -> bool:
        jobs = served.gateway.jobs
        job = await served.gateway.submit(OWNER, new_job({}))
        with full(served):
            polling = asyncio.ensure_future(jobs.take("held", 1, 10))
            await asyncio.sleep(0.1)
            assert not polling.done()
        (lease,) = await polling
        await jobs.finish(lease.id, "held", {})
        return lease.job.id == job.id

    assert served.run(through_the_shortage())
