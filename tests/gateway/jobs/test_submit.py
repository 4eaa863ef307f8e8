"""Submitting: accepted means on the disk, refused means nothing is kept, an idempotency key counts once."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import State
from gateway.jobs.store import FILE
from schemas.errors import FeatureNotSupported, IdempotencyConflict, QueueFull, ShuttingDown
from tests.gateway.jobs.conftest import Open, new

pytestmark = pytest.mark.anyio


def stored(folder: Path) -> list[str]:
    """The ids another process finds in the store."""
    connection = sqlite3.connect(folder / FILE)
    ids = [row[0] for row in connection.execute("SELECT id FROM jobs ORDER BY seq")]
    connection.close()
    return ids


async def test_an_accepted_job_is_in_the_file(jobs: Jobs, tmp_path: Path) -> None:
    accepted = [(await jobs.submit(new(input={"prompt": text}))).id for text in ("a", "\ud800 lone", "ü" * 5000)]
    assert stored(tmp_path) == accepted


async def test_a_job_reads_back_as_submitted(open_jobs: Open) -> None:
    jobs = await open_jobs()
    job = await jobs.submit(new(extra={"seed": 3}, low_priority=True, execution_timeout_s=7, input={"prompt": "x"}))
    again = await (await open_jobs()).get(job.id)
    assert again == job
    assert (job.state, job.attempts, job.execution_timeout_s) == (State.QUEUED, 0, 7)


async def test_only_its_owner_finds_a_job(jobs: Jobs) -> None:
    job = await jobs.submit(new("ann"))
    assert await jobs.get(job.id, "ann") == job
    assert await jobs.get(job.id, "bob") is None
    assert await jobs.get("no-such-job") is None


async def test_a_full_queue_refuses_and_keeps_nothing(open_jobs: Open, tmp_path: Path) -> None:
    jobs = await open_jobs(max_queued=3)
    outcomes = await asyncio.gather(*(jobs.submit(new()) for _ in range(10)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, QueueFull)]
    assert len(refused) == 7
    assert refused[0].retry_after_s >= 1
    assert len(stored(tmp_path)) == 3
    await jobs.take("w")
    await jobs.submit(new())


async def test_the_last_place_is_given_too(open_jobs: Open) -> None:
    jobs = await open_jobs(max_queued=40)
    left = iter(range(40))

    async def client() -> None:
        for _ in left:
            await jobs.submit(new())

    await asyncio.gather(*(client() for _ in range(8)))
    with pytest.raises(QueueFull):
        await jobs.submit(new())
    await jobs.take("w", 3, 5)
    for key in ("a", "a", "b"):
        await jobs.submit(new(idempotency_key=key))
    with pytest.raises(IdempotencyConflict):
        await jobs.submit(new(idempotency_key="b", input={}))
    await jobs.submit(new())
    assert jobs.counts().queued == 40


async def test_a_submitter_may_ask_for_a_short_queue(jobs: Jobs) -> None:
    for _ in range(3):
        await jobs.submit(new())
    with pytest.raises(QueueFull):
        await jobs.submit(new(max_ahead=2))
    await jobs.submit(new(max_ahead=3))


async def test_an_idempotency_key_gives_the_first_job(open_jobs: Open, tmp_path: Path) -> None:
    jobs = await open_jobs(max_queued=1)
    first, again = await asyncio.gather(*(jobs.submit(new(idempotency_key="k")) for _ in range(2)))
    assert first.id == again.id
    assert (await jobs.submit(new(idempotency_key="k"))).id == first.id, "also while the queue is full"
    jobs = await open_jobs()
    assert (await jobs.submit(new(idempotency_key="k"))).id == first.id, "also after a restart"
    assert len(stored(tmp_path)) == 1
    assert jobs.counts().queued == 1


async def test_an_idempotency_key_is_one_owners_and_one_bodys(jobs: Jobs) -> None:
    first = await jobs.submit(new("ann", idempotency_key="k"))
    assert (await jobs.submit(new("bob", idempotency_key="k"))).id != first.id
    with pytest.raises(IdempotencyConflict):
        await jobs.submit(new("ann", idempotency_key="k", input={"prompt": "a dog"}))
    assert jobs.counts().queued == 2


async def test_invalid_input_may_be_recorded_as_failed(jobs: Jobs) -> None:
    error = FeatureNotSupported(["body", "seed"], input=1)
    job = await jobs.fail_at_once(new(), error)
    assert job.state is State.FAILED
    assert (job.failure.code, job.failure.status, job.failure.detail) == ("feature_not_supported", 422, error.detail)
    assert await jobs.get(job.id) == job
    assert await jobs.take("w", 1, 0) == []


async def test_a_caller_that_leaves_does_not_lose_the_job(jobs: Jobs, tmp_path: Path) -> None:
    task = asyncio.create_task(jobs.submit(new()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (lease,) = await jobs.take("w", 1, 5)
    assert stored(tmp_path) == [lease.job.id]


async def test_nothing_is_accepted_while_shutting_down(jobs: Jobs, tmp_path: Path) -> None:
    await jobs.drain(0)
    for attempt in (jobs.submit(new()), jobs.fail_at_once(new(), FeatureNotSupported(["body"]))):
        with pytest.raises(ShuttingDown) as refusal:
            await attempt
        assert refusal.value.status == 503
        assert refusal.value.retry_after_s >= 1
    assert stored(tmp_path) == []
