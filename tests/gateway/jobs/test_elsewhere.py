"""A worker that goes on without us and has a queue of its own: what counts as running, and what a drain and a restart
leave to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Failure, State
from gateway.jobs.policy import Policy
from gateway.jobs.store import Store
from schemas.errors import ExecutionTimeout
from tests.gateway.jobs.conftest import HandClock, new, pass_time

pytestmark = pytest.mark.anyio

AWAY = "runpod:ab12"


async def state(jobs: Jobs, job_id: str) -> State:
    return (await jobs.get(job_id)).state


async def test_time_in_its_queue_does_not_count(jobs: Jobs, clock: HandClock) -> None:
    job = await jobs.submit(new(execution_timeout_s=10))
    (lease,) = await jobs.take(AWAY)
    jobs.hold_off(lease.id, AWAY, 1000)
    for _ in range(5):
        await pass_time(jobs, clock, 20)
        await jobs.renew(AWAY, [lease.id])
    jobs.begin(lease.id, AWAY)
    await pass_time(jobs, clock, 9)
    assert await state(jobs, job.id) is State.RUNNING
    await pass_time(jobs, clock, 2)
    assert (await jobs.get(job.id)).failure == Failure.of(ExecutionTimeout())
    assert await jobs.stops(AWAY, 0.1) == [lease.id]


async def test_time_in_its_queue_has_an_end(jobs: Jobs, clock: HandClock) -> None:
    job = await jobs.submit(new(execution_timeout_s=1))
    (lease,) = await jobs.take(AWAY)
    jobs.hold_off(lease.id, AWAY, 20)
    await pass_time(jobs, clock, 21)
    assert await state(jobs, job.id) is State.FAILED


async def test_another_workers_lease_is_not_held_off(jobs: Jobs, clock: HandClock) -> None:
    job = await jobs.submit(new(execution_timeout_s=5))
    (lease,) = await jobs.take("w1")
    jobs.hold_off(lease.id, AWAY, 1000)
    await pass_time(jobs, clock, 4)
    jobs.begin(lease.id, AWAY)
    await pass_time(jobs, clock, 2)
    assert await state(jobs, job.id) is State.FAILED


async def test_a_drain_leaves_it_its_jobs(jobs: Jobs) -> None:
    jobs.outlives(AWAY)
    there, here = [await jobs.submit(new()) for _ in range(2)]
    await jobs.take(AWAY)
    await jobs.take("w1")
    await jobs.drain(0.1)
    assert await state(jobs, there.id) is State.RUNNING
    assert await state(jobs, here.id) is State.QUEUED


async def test_after_a_restart_it_has_time_to_bring_a_result(tmp_path: Path, clock: HandClock) -> None:
    """Also when the job's time was over meanwhile; others have none."""
    store = Store(tmp_path)
    jobs = Jobs(store, Policy(), clock)
    await jobs.start(sweep=False)
    ids = [(await jobs.submit(new(execution_timeout_s=10))).id for _ in range(2)]
    (lease,), _ = await jobs.take(AWAY), await jobs.take("w1")
    clock.advance(60)
    again = Jobs(store, Policy(), clock)
    again.outlives(AWAY)
    await again.start(sweep=False)
    await again.tick()
    assert [await state(again, job_id) for job_id in ids] == [State.RUNNING, State.FAILED]
    assert await again.finish(lease.id, AWAY, {"images": []})
    await jobs.close()
    await again.close()
    store.close()
