"""Polls of workers: held until there is work, never handed a job after they closed, told what to stop."""

from __future__ import annotations

import asyncio

import pytest

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Cancelled, State
from schemas.errors import JobNotFound
from tests.gateway.jobs.conftest import new, settle

pytestmark = pytest.mark.anyio


async def test_a_poll_is_held_until_there_is_work(jobs: Jobs) -> None:
    poll = asyncio.create_task(jobs.take("w1", 1, 30))
    await asyncio.sleep(0.02)
    assert not poll.done()
    job = await jobs.submit(new())
    (lease,) = await poll
    assert lease.job.id == job.id
    assert lease.id == f"{job.id}-a1"


async def test_a_poll_ends_empty_when_its_time_is_over(jobs: Jobs) -> None:
    assert await jobs.take("w1", 1, 0.02) == []
    await jobs.submit(new())
    assert len(await jobs.take("w1", 1, 0)) == 1, "what is there is given at once"


async def test_polls_are_served_in_turn(jobs: Jobs) -> None:
    polls = [asyncio.create_task(jobs.take(f"w{number}", 1, 30)) for number in range(3)]
    await asyncio.sleep(0)
    accepted = [(await jobs.submit(new())).id for _ in range(3)]
    assert [leases[0].job.id for leases in await asyncio.gather(*polls)] == accepted


async def test_a_batch_gets_what_there_is(jobs: Jobs) -> None:
    accepted = [(await jobs.submit(new())).id for _ in range(5)]
    assert [lease.job.id for lease in await jobs.take("w1", 3, 5)] == accepted[:3]
    assert [lease.job.id for lease in await jobs.take("w1", 3, 5)] == accepted[3:]


async def test_a_job_is_handed_out_once(jobs: Jobs) -> None:
    polls = [asyncio.create_task(jobs.take(f"w{number % 7}", 1, 60)) for number in range(60)]
    accepted = await asyncio.gather(*(jobs.submit(new(f"owner{number % 3}")) for number in range(40)))
    await settle(lambda: sum(poll.done() for poll in polls) >= 40)
    await jobs.close()
    leases = [lease for poll in asyncio.as_completed(polls) for lease in await poll]
    assert sorted(lease.job.id for lease in leases) == sorted(job.id for job in accepted)


@pytest.mark.parametrize("steps", range(12))
async def test_a_closed_poll_gets_no_job(jobs: Jobs, steps: int) -> None:
    """The poll is closed after any number of turns of the event loop, also between commit and answer."""
    poll = asyncio.create_task(jobs.take("w1", 1, 30))
    await asyncio.sleep(0)
    job = await jobs.submit(new())
    for _ in range(steps):
        await asyncio.sleep(0.0005)
        if poll.done():
            break
    if poll.cancel():
        with pytest.raises(asyncio.CancelledError):
            await poll
        (lease,) = await jobs.take("w2", 1, 5)
        assert (lease.job.id, lease.job.worker) == (job.id, "w2")
    else:
        assert (await poll)[0].job.id == job.id


async def test_a_poll_answered_and_closed_in_one_breath_gives_back(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    events = jobs.watch(job.id)
    await anext(events)
    poll = asyncio.create_task(jobs.take("w1", 1, 30))
    assert (await anext(events)).state is State.RUNNING
    assert poll.cancel(), "the lease is there, the poll has not woken yet"
    with pytest.raises(asyncio.CancelledError):
        await poll
    assert (await anext(events)).state is State.QUEUED
    (lease,) = await jobs.take("w2", 1, 5)
    assert (lease.job.id, lease.job.attempts) == (job.id, 2)


async def test_cancelling_a_waiting_job_drops_it(jobs: Jobs) -> None:
    job, other = await jobs.submit(new()), await jobs.submit(new())
    assert await jobs.cancel(job.id) is Cancelled.DROPPED
    ended = await jobs.get(job.id)
    assert (ended.state, ended.failure.code, ended.failure.status) == (State.CANCELLED, "client_cancelled", 499)
    assert jobs.position(other.id) == 0
    assert [lease.job.id for lease in await jobs.take("w1", 5, 0)] == [other.id]


async def test_cancelling_a_running_job_stops_its_worker(jobs: Jobs) -> None:
    await jobs.submit(new())
    (lease,) = await jobs.take("w1", 1, 5)
    stops = asyncio.create_task(jobs.stops("w1", 30))
    await asyncio.sleep(0)
    assert await jobs.cancel(lease.job.id) is Cancelled.STOPPING
    assert await stops == [lease.id]
    assert not await jobs.finish(lease.id, "w1", {"images": []})
    assert (await jobs.get(lease.job.id)).state is State.CANCELLED
    assert await jobs.stops("w1", 0) == [], "told once"
    await jobs.renew("w1", [lease.id])
    assert await jobs.stops("w1", 0) == [lease.id], "and again while the worker still claims it"


async def test_cancelling_an_ended_job_changes_nothing(jobs: Jobs) -> None:
    await jobs.submit(new())
    (lease,) = await jobs.take("w1", 1, 5)
    await jobs.finish(lease.id, "w1", {"images": []})
    before = await jobs.get(lease.job.id)
    assert await jobs.cancel(lease.job.id) is Cancelled.ALREADY_DONE
    assert await jobs.get(lease.job.id) == before
    with pytest.raises(JobNotFound):
        await jobs.cancel("no-such-job")


async def test_cancelling_while_it_is_handed_out(jobs: Jobs) -> None:
    """Whichever commits first, the job is cancelled, and a worker that got it is told to stop."""
    for order in range(20):
        job = await jobs.submit(new())
        poll = jobs.take("w1", 1, 0.2)
        cancel = jobs.cancel(job.id)
        pair = (poll, cancel) if order % 2 else (cancel, poll)
        results = await asyncio.gather(*pair)
        leases, outcome = results if order % 2 else reversed(results)
        assert (await jobs.get(job.id)).state is State.CANCELLED
        assert outcome is (Cancelled.STOPPING if leases else Cancelled.DROPPED)
        assert await jobs.stops("w1", 0) == [lease.id for lease in leases]
    assert (jobs.counts().queued, jobs.counts().running) == (0, 0)


async def test_a_poll_whose_job_is_cancelled_ends_in_time(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    async with asyncio.timeout(60):
        dropped, leases = await asyncio.gather(jobs.cancel(job.id), jobs.take("w1", 1, 0))
    assert (dropped, leases) == (Cancelled.DROPPED, [])


async def test_stops_wait_for_their_own_worker(jobs: Jobs) -> None:
    assert await jobs.stops("w1", 0.01) == []
    await jobs.submit(new())
    (lease,) = await jobs.take("w1", 1, 5)
    other = asyncio.create_task(jobs.stops("w2", 0.05))
    await jobs.cancel(lease.job.id)
    assert await other == []
    assert await jobs.stops("w1", 0) == [lease.id]


async def test_draining_lets_running_jobs_finish(jobs: Jobs) -> None:
    await jobs.submit(new())
    waiting = await jobs.submit(new())
    (lease,) = await jobs.take("w1", 1, 5)
    drain = asyncio.create_task(jobs.drain(3600))
    await asyncio.sleep(0)
    assert await jobs.take("w2", 1, 0.02) == [], "nothing more is handed out"
    assert not drain.done()
    assert await jobs.finish(lease.id, "w1", {"images": []})
    await asyncio.wait_for(drain, 60)
    assert (await jobs.get(waiting.id)).state is State.QUEUED


async def test_what_does_not_finish_in_time_is_queued_again_once(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    (lease,) = await jobs.take("w1", 1, 5)
    await jobs.drain(0.05)
    assert (await jobs.get(job.id)).state is State.QUEUED
    assert await jobs.stops("w1", 0) == [lease.id]
    assert not await jobs.finish(lease.id, "w1", {"images": []})


async def test_closing_ends_what_is_held(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    await jobs.take("w1", 1, 5)
    held = [
        asyncio.create_task(waiting)
        for waiting in (jobs.take("w2", 1, 30), jobs.stops("w2", 30), jobs.wait(job.id, 30))
    ]
    await asyncio.sleep(0.01)
    await jobs.close()
    await settle(lambda: all(task.done() for task in held))
    assert held[0].result() == held[1].result() == []
    assert held[2].result().state is State.RUNNING
