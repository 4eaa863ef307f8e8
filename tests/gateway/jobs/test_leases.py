"""Leases: a silent worker loses its job, a job has one outcome, three lost workers are enough."""

from __future__ import annotations

import asyncio

import pytest

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Failure, Lease, Progress, State
from schemas.errors import DeviceLost, ExecutionTimeout, OutOfMemory, StartTimeout
from tests.gateway.jobs.conftest import HandClock, Open, new, pass_time

pytestmark = pytest.mark.anyio

OUTPUT = {"images": [{"url": "https://example.com/a.png"}]}


async def started(jobs: Jobs, **options: object) -> Lease:
    await jobs.submit(new(**options))
    (lease,) = await jobs.take("w1", 1, 5)
    return lease


async def state(jobs: Jobs, lease: Lease) -> State:
    return (await jobs.get(lease.job.id)).state


async def test_a_finished_job_has_its_output(jobs: Jobs) -> None:
    lease = await started(jobs)
    assert (lease.job.state, lease.job.attempts, lease.job.worker) == (State.RUNNING, 1, "w1")
    assert await jobs.finish(lease.id, "w1", OUTPUT)
    job = await jobs.get(lease.job.id)
    assert (job.state, job.output, job.failure) == (State.COMPLETED, OUTPUT, None)


async def test_the_first_outcome_stays(jobs: Jobs) -> None:
    lease = await started(jobs)
    answers = await asyncio.gather(*(jobs.finish(lease.id, "w1", {"number": number}) for number in range(5)))
    assert answers == [True, False, False, False, False]
    assert not await jobs.finish(lease.id, "w1", Failure.of(OutOfMemory()))
    assert (await jobs.get(lease.job.id)).output == {"number": 0}


async def test_signs_of_life_keep_a_lease(jobs: Jobs, clock: HandClock) -> None:
    lease = await started(jobs)
    await pass_time(jobs, clock, 25)
    await jobs.renew("w1", [lease.id])
    await pass_time(jobs, clock, 25)
    assert await jobs.report(lease.id, "w1", Progress(1, 1, 3, 30, 0.1))
    await pass_time(jobs, clock, 25)
    assert await state(jobs, lease) is State.RUNNING
    await pass_time(jobs, clock, 6)
    assert await state(jobs, lease) is State.QUEUED


async def test_a_worker_that_returns_late_is_not_heard(jobs: Jobs, clock: HandClock) -> None:
    late = await started(jobs)
    await pass_time(jobs, clock, 31)
    assert not await jobs.finish(late.id, "w1", OUTPUT), "while it waits again"
    (second,) = await jobs.take("w2", 1, 5)
    assert second.job.id == late.job.id
    assert second.id != late.id
    assert not await jobs.finish(late.id, "w1", OUTPUT), "while another has it"
    assert not await jobs.report(late.id, "w1", Progress(1, 1, 1, 1, 1))
    assert not await jobs.give_back(late.id)
    assert jobs.progress(late.job.id) is None
    assert await jobs.finish(second.id, "w2", {"by": "w2"})
    assert not await jobs.finish(late.id, "w1", OUTPUT), "after the end"
    assert (await jobs.get(late.job.id)).output == {"by": "w2"}


@pytest.mark.parametrize("other", ["w2", ""])
async def test_a_worker_speaks_for_itself_only(jobs: Jobs, clock: HandClock, other: str) -> None:
    lease = await started(jobs)
    assert not await jobs.finish(lease.id, other, OUTPUT)
    assert not await jobs.report(lease.id, other, Progress(1, 1, 1, 1, 1))
    await pass_time(jobs, clock, 29)
    await jobs.renew(other, [lease.id])
    await pass_time(jobs, clock, 2)
    assert await state(jobs, lease) is State.QUEUED, "another's ping renews nothing"


@pytest.mark.parametrize("lease_id", ["", "-a", "x-a1", "{}", "{}-a", "{}-a2", "{}-a-1", "{}-a01x", "{}-a¹", "{}-a1 "])
async def test_unknown_leases_do_nothing(jobs: Jobs, lease_id: str) -> None:
    lease = await started(jobs)
    wrong = lease_id.format(lease.job.id)
    assert not await jobs.finish(wrong, "w1", OUTPUT)
    assert not await jobs.give_back(wrong)
    assert await state(jobs, lease) is State.RUNNING


async def test_three_lost_workers_are_enough(jobs: Jobs, clock: HandClock) -> None:
    await jobs.submit(new())
    innocent = await jobs.submit(new())
    for attempt in (1, 2, 3):
        (lease,) = await jobs.take(f"w{attempt}", 1, 5)
        assert lease.job.attempts == attempt
        await pass_time(jobs, clock, 31)
    job = await jobs.get(lease.job.id)
    assert (job.state, job.failure.code, job.failure.status) == (State.FAILED, "worker_lost", 503)
    (next_lease,) = await jobs.take("w4", 1, 5)
    assert next_lease.job.id == innocent.id


async def test_a_job_may_be_tried_once_only(jobs: Jobs, clock: HandClock) -> None:
    lease = await started(jobs, max_attempts=1)
    await pass_time(jobs, clock, 31)
    assert (await jobs.get(lease.job.id)).failure.code == "worker_lost"


async def test_giving_back_is_no_strike(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    for attempt in range(1, 6):
        (lease,) = await jobs.take("w1", 1, 5)
        assert lease.job.attempts == attempt
        assert await jobs.give_back(lease.id)
    assert (await jobs.get(job.id)).state is State.QUEUED


async def test_a_worker_known_to_be_dead_is_not_waited_for(jobs: Jobs) -> None:
    for _ in range(3):
        await jobs.submit(new())
    first, second = await jobs.take("w1", 2, 5)
    (third,) = await jobs.take("w2", 1, 5)
    await jobs.lose("w1")
    assert [await state(jobs, lease) for lease in (first, second, third)] == [
        State.QUEUED,
        State.QUEUED,
        State.RUNNING,
    ]


async def test_a_lost_device_is_a_lost_worker(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    for _ in range(3):
        (lease,) = await jobs.take("w1", 1, 5)
        assert await jobs.finish(lease.id, "w1", Failure.of(DeviceLost()))
    assert (await jobs.get(job.id)).failure.code == "worker_lost"


async def test_other_failures_are_outcomes(jobs: Jobs) -> None:
    lease = await started(jobs)
    assert await jobs.finish(lease.id, "w1", Failure.of(OutOfMemory()))
    job = await jobs.get(lease.job.id)
    assert (job.state, job.failure) == (State.FAILED, Failure.of(OutOfMemory()))


async def test_an_output_that_is_no_json_fails_the_job(jobs: Jobs) -> None:
    lease = await started(jobs)
    assert await jobs.finish(lease.id, "w1", {"seed": float("nan")})
    assert (await jobs.get(lease.job.id)).failure.code == "internal_server_error"


@pytest.mark.parametrize("jump", [-2 * 86400, -3600, 3600, 2 * 86400])
async def test_the_wall_clock_ends_no_lease(jobs: Jobs, clock: HandClock, jump: float) -> None:
    lease = await started(jobs, execution_timeout_s=60)
    await jobs.submit(new(start_within_s=60))
    clock.wall += jump
    await pass_time(jobs, clock, 29)
    assert await state(jobs, lease) is State.RUNNING
    assert jobs.counts().queued == 1
    await pass_time(jobs, clock, 2)
    assert await state(jobs, lease) is State.QUEUED
    await jobs.take("w", 2, 5)
    assert jobs.counts().running == 2


@pytest.mark.parametrize(("lease_s", "sleep_s"), [(30, 3600), (30, 8), (4, 3), (1, 1.5)])
async def test_the_gateways_own_sleep_counts_against_no_worker(
    open_jobs: Open, clock: HandClock, lease_s: float, sleep_s: float
) -> None:
    jobs = await open_jobs(lease_s=lease_s)
    lease = await started(jobs)
    await pass_time(jobs, clock, lease_s * 0.7)
    clock.advance(sleep_s)
    await jobs.tick()
    assert await state(jobs, lease) is State.RUNNING
    await pass_time(jobs, clock, lease_s * 0.4)
    assert await state(jobs, lease) is State.QUEUED


async def test_a_run_too_long_is_stopped(jobs: Jobs, clock: HandClock) -> None:
    lease = await started(jobs, execution_timeout_s=45)
    for _ in range(4):
        await pass_time(jobs, clock, 10)
        await jobs.renew("w1", [lease.id])
    await pass_time(jobs, clock, 6)
    job = await jobs.get(lease.job.id)
    assert job.failure == Failure.of(ExecutionTimeout())
    assert await jobs.stops("w1", 1) == [lease.id]
    assert not await jobs.finish(lease.id, "w1", OUTPUT)


async def test_a_job_not_started_in_time_fails(jobs: Jobs, clock: HandClock) -> None:
    late = await jobs.submit(new(start_within_s=5))
    patient = await jobs.submit(new())
    await pass_time(jobs, clock, 4)
    assert (await jobs.get(late.id)).state is State.QUEUED
    await pass_time(jobs, clock, 2)
    assert (await jobs.get(late.id)).failure == Failure.of(StartTimeout())
    (lease,) = await jobs.take("w1", 1, 5)
    assert lease.job.id == patient.id


async def test_a_start_deadline_met_once_is_met(jobs: Jobs, clock: HandClock) -> None:
    lease = await started(jobs, start_within_s=5)
    await pass_time(jobs, clock, 31)
    assert await state(jobs, lease) is State.QUEUED
    await pass_time(jobs, clock, 60)
    assert await state(jobs, lease) is State.QUEUED


async def test_a_job_has_so_long_in_all(jobs: Jobs, clock: HandClock) -> None:
    """Waiting, running, and waiting again after its worker was lost."""
    lease, waiting = await started(jobs, end_within_s=50), await jobs.submit(new(end_within_s=45))
    await pass_time(jobs, clock, 20)
    await jobs.renew("w1", [lease.id])
    jobs.hold_off(lease.id, "w1", 3600)
    await pass_time(jobs, clock, 26)
    assert await state(jobs, lease) is State.RUNNING
    assert (await jobs.get(waiting.id)).failure == Failure.of(StartTimeout())
    await pass_time(jobs, clock, 5)
    assert (await jobs.get(lease.job.id)).failure == Failure.of(ExecutionTimeout())
    assert await jobs.stops("w1", 1) == [lease.id]


async def test_such_a_job_ends_in_the_line_it_has_returned_to(jobs: Jobs, clock: HandClock) -> None:
    lease = await started(jobs, end_within_s=50, start_within_s=5)
    assert await jobs.give_back(lease.id)
    await pass_time(jobs, clock, 49)
    assert await state(jobs, lease) is State.QUEUED
    await pass_time(jobs, clock, 2)
    assert (await jobs.get(lease.job.id)).failure == Failure.of(StartTimeout())
    assert (await jobs.retry(lease.job.id)).state is State.QUEUED
    await pass_time(jobs, clock, 60)
    assert await state(jobs, lease) is State.QUEUED


async def test_a_surviving_worker_may_finish_after_a_restart(open_jobs: Open, clock: HandClock) -> None:
    lease = await started(await open_jobs())
    clock.advance(5)
    jobs = await open_jobs()
    assert await state(jobs, lease) is State.RUNNING
    await pass_time(jobs, clock, 20)
    await jobs.renew("w1", [lease.id])
    await pass_time(jobs, clock, 20)
    assert await jobs.finish(lease.id, "w1", OUTPUT)
    assert (await (await open_jobs()).get(lease.job.id)).output == OUTPUT


async def test_after_a_restart_silent_workers_lose_their_jobs(open_jobs: Open, clock: HandClock) -> None:
    jobs = await open_jobs()
    waiting = [await jobs.submit(new()) for _ in range(3)]
    (lease,) = await jobs.take("w1", 1, 5)
    jobs = await open_jobs()
    assert (jobs.counts().queued, jobs.counts().running) == (2, 1)
    await pass_time(jobs, clock, 31)
    leases = await jobs.take("w2", 5, 5)
    assert [taken.job.id for taken in leases] == [job.id for job in waiting]
    assert leases[0].job.attempts == 2
    assert not await jobs.finish(lease.id, "w1", OUTPUT)


async def test_deadlines_survive_a_restart(open_jobs: Open, clock: HandClock) -> None:
    jobs = await open_jobs()
    running = await started(jobs, execution_timeout_s=50)
    waiting = await jobs.submit(new(start_within_s=50))
    brief = await jobs.submit(new(end_within_s=45))
    clock.advance(40)
    jobs = await open_jobs()
    await pass_time(jobs, clock, 11)
    assert (await jobs.get(running.job.id)).failure == Failure.of(ExecutionTimeout())
    assert (await jobs.get(waiting.id)).failure == Failure.of(StartTimeout())
    assert (await jobs.get(brief.id)).failure == Failure.of(StartTimeout())
