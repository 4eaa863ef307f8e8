"""Records after the end: history, retention, retry, and the outbox rows of webhooks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Failure, Job, State, Webhook
from schemas.errors import InternalError, JobNotFound, QueueFull, RetryRefused
from tests.gateway.jobs.conftest import HandClock, Open, new, pass_time

pytestmark = pytest.mark.anyio

HOOKS = (Webhook("https://example.com/a", "fal"), Webhook("https://example.com/b", "runpod"))
FAILURE = Failure.of(InternalError())


async def run(jobs: Jobs, result: dict | Failure, **options: object) -> Job:
    job = await jobs.submit(new(**options))
    (lease,) = await jobs.take("w1", 1, 5)
    assert await jobs.finish(lease.id, "w1", result)
    return await jobs.get(job.id)


async def outbox(jobs: Jobs) -> list[tuple]:
    query = "SELECT job_id, url, dialect, state, attempts FROM deliveries ORDER BY rowid"
    return await jobs._store.read(lambda connection: [tuple(row) for row in connection.execute(query)])


async def deliver(jobs: Jobs) -> None:
    await jobs._store.write(lambda connection: connection.execute("UPDATE deliveries SET state = 'delivered'"))


@pytest.mark.parametrize("way", ["completed", "failed", "cancelled", "lost", "invalid"])
async def test_every_end_fills_the_outbox_once(jobs: Jobs, clock: HandClock, way: str) -> None:
    if way in ("completed", "failed"):
        job = await run(jobs, {"images": []} if way == "completed" else FAILURE, webhooks=HOOKS)
    elif way == "invalid":
        job = await jobs.fail_at_once(new(webhooks=HOOKS), InternalError())
    else:
        job = await jobs.submit(new(webhooks=HOOKS, max_attempts=1))
        assert await outbox(jobs) == []
        await (jobs.cancel(job.id) if way == "cancelled" else jobs.take("w1", 1, 5))
    await pass_time(jobs, clock, 40)
    assert await outbox(jobs) == [(job.id, hook.url, hook.dialect, "pending", 0) for hook in HOOKS]


async def test_listeners_learn_of_each_end_when_it_is_stored(jobs: Jobs) -> None:
    ended: list[tuple[str, State]] = []
    jobs.on_end(lambda job: ended.append((job.id, job.state)))
    done, failed = await run(jobs, {"images": []}), await run(jobs, FAILURE)
    assert ended == [(done.id, State.COMPLETED), (failed.id, State.FAILED)]


async def test_records_go_when_their_time_is_over(open_jobs: Open, clock: HandClock) -> None:
    jobs = await open_jobs(result_ttl_s=3600)
    gone: list[str] = []

    async def forget(ids: Sequence[str]) -> None:
        gone.extend(ids)

    jobs.on_delete(forget)
    short = await run(jobs, {"images": []}, result_ttl_s=10)
    normal = await run(jobs, {"images": []})
    waiting = await jobs.submit(new(result_ttl_s=1))
    clock.advance(11)
    assert await jobs.expire() == 1
    assert gone == [short.id]
    assert await jobs.get(short.id) is None
    assert await jobs.get(normal.id) == normal
    clock.advance(3600)
    assert await jobs.expire() == 1
    assert (await jobs.get(waiting.id)).state is State.QUEUED
    assert await jobs.history("ann") == [waiting]


async def test_a_record_stays_while_a_webhook_has_to_tell_of_it(jobs: Jobs, clock: HandClock) -> None:
    job = await run(jobs, {"images": []}, webhooks=HOOKS, result_ttl_s=10)
    clock.advance(100)
    assert await jobs.expire() == 0
    assert (await jobs.get(job.id)) is not None
    await deliver(jobs)
    assert await jobs.expire() == 1
    assert await outbox(jobs) == []


async def test_many_records_go_in_one_sweep(open_jobs: Open, clock: HandClock) -> None:
    jobs = await open_jobs(result_ttl_s=10)
    await asyncio.gather(*(jobs.fail_at_once(new(), InternalError()) for _ in range(450)))
    clock.advance(11)
    assert await jobs.expire() == 450


async def test_history_is_an_owners_newest_first(jobs: Jobs) -> None:
    mine = [await jobs.submit(new("ann", door="fal" if number % 2 else "runpod")) for number in range(6)]
    await jobs.submit(new("bob"))
    assert await jobs.history("ann") == mine[::-1]
    assert await jobs.history("ann", door="fal") == mine[5::-2]
    page = await jobs.history("ann", limit=2)
    assert await jobs.history("ann", before=page[-1].id, limit=2) == [mine[3], mine[2]]
    assert await jobs.history("eve") == []


async def test_only_ended_jobs_can_be_deleted(jobs: Jobs) -> None:
    job = await jobs.submit(new(idempotency_key="k"))
    assert not await jobs.delete(job.id)
    await jobs.cancel(job.id)
    assert await jobs.delete(job.id)
    assert await jobs.get(job.id) is None
    assert not await jobs.delete(job.id)
    assert (await jobs.submit(new(idempotency_key="k"))).id != job.id, "its idempotency key went with it"


async def test_a_failed_job_can_be_tried_again(open_jobs: Open, clock: HandClock) -> None:
    jobs = await open_jobs()
    job = await jobs.submit(new(max_attempts=1))
    await jobs.take("w1", 1, 5)
    await pass_time(jobs, clock, 31)
    failed = await jobs.get(job.id)
    assert failed.state is State.FAILED
    again = await jobs.retry(job.id)
    assert (again.id, again.state, again.failure, again.ended_at) == (job.id, State.QUEUED, None, None)
    (lease,) = await jobs.take("w2", 1, 5)
    assert lease.id == f"{job.id}-a2"
    assert await jobs.finish(lease.id, "w2", {"images": []})
    with pytest.raises(RetryRefused):
        await jobs.retry(job.id)
    with pytest.raises(JobNotFound):
        await jobs.retry("no-such-job")


async def test_trying_again_needs_room(open_jobs: Open) -> None:
    jobs = await open_jobs(max_queued=1)
    failed = await run(jobs, FAILURE)
    await jobs.submit(new())
    with pytest.raises(QueueFull):
        await jobs.retry(failed.id)


async def test_purging_cancels_what_waits_at_one_door_for_one_owner(jobs: Jobs) -> None:
    running = await jobs.submit(new("ann", door="runpod"))
    await jobs.take("w1", 1, 5)
    purged = [await jobs.submit(new("ann", door="runpod")) for _ in range(3)]
    kept = [await jobs.submit(new("ann", door="fal")), await jobs.submit(new("bob", door="runpod")), running]
    assert await jobs.purge("ann", "runpod") == 3
    assert {(await jobs.get(job.id)).state for job in purged} == {State.CANCELLED}
    assert not any([(await jobs.get(job.id)).state.final for job in kept])
    assert (jobs.waiting_of("ann"), jobs.waiting_of("bob")) == (1, 1)


async def test_counts(jobs: Jobs) -> None:
    await run(jobs, {"images": []})
    await run(jobs, FAILURE)
    await jobs.cancel((await jobs.submit(new())).id)
    await jobs.submit(new())
    await jobs.submit(new())
    (lease,) = await jobs.take("w1", 1, 5)
    await jobs.give_back(lease.id)
    await jobs.take("w1", 1, 5)
    counts = jobs.counts()
    assert (counts.queued, counts.running, counts.requeued) == (1, 1, 1)
    assert (counts.completed, counts.failed, counts.cancelled) == (1, 1, 1)


async def test_history_by_state_and_page(jobs: Jobs) -> None:
    done = [await run(jobs, {"images": []}) for _ in range(3)]
    failed = await run(jobs, FAILURE)
    waiting = await jobs.submit(new())
    assert await jobs.history("ann", among=[State.COMPLETED]) == done[::-1]
    assert await jobs.history("ann", among=[State.FAILED, State.QUEUED]) == [waiting, failed]
    assert await jobs.history("ann", among=[State.COMPLETED], limit=1, offset=1) == [done[1]]
    assert await jobs.tally("ann", "fal", [State.COMPLETED, State.FAILED]) == 4
    assert await jobs.tally("ann", "runpod", list(State)) == 0
