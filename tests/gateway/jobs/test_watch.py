"""Onlookers: states, log lines and progress as they happen, bounded for those who do not keep up."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from gateway.jobs.events import MAX_PENDING, TRUNCATED, Watcher
from gateway.jobs.jobs import Jobs
from gateway.jobs.model import Job, LogLine, Progress, State
from schemas.errors import JobNotFound
from tests.gateway.jobs.conftest import HandClock, Open, new, pass_time, settle

pytestmark = pytest.mark.anyio


def progress(step: int) -> Progress:
    return Progress(1, 1, step, 30, step / 30, preview="data:,")


def line(text: str) -> LogLine:
    return LogLine(1.0, "INFO", text)


async def test_a_whole_life_is_seen(jobs: Jobs, clock: HandClock) -> None:
    job = await jobs.submit(new())
    seen = []

    async def look() -> None:
        async for event in jobs.watch(job.id):
            seen.append(event.state if isinstance(event, Job) else event)

    looking = asyncio.create_task(look())
    await settle(lambda: len(seen) == 1)
    jobs.log(job.id, line("waiting"))
    await jobs.take("w1", 1, 5)
    await pass_time(jobs, clock, 31)
    (lease,) = await jobs.take("w2", 1, 5)
    await jobs.report(lease.id, "w2", progress(7))
    await settle(lambda: progress(7) in seen)
    await jobs.finish(lease.id, "w2", {"images": []})
    await asyncio.wait_for(looking, 60)
    queued, running = State.QUEUED, State.RUNNING
    assert seen == [queued, line("waiting"), running, queued, running, progress(7), State.COMPLETED]


async def test_an_ended_job_is_told_at_once(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    await jobs.cancel(job.id)
    assert [event.state async for event in jobs.watch(job.id)] == [State.CANCELLED]
    assert (await jobs.wait(job.id, 30)).state is State.CANCELLED
    with pytest.raises(JobNotFound):
        await jobs.wait("no-such-job", 0)


async def test_waiting_ends_with_the_job_or_the_time(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    assert (await jobs.wait(job.id, 0.01)).state is State.QUEUED
    waits = [asyncio.create_task(jobs.wait(job.id, 30)) for _ in range(20)]
    await asyncio.sleep(0)
    (lease,) = await jobs.take("w1", 1, 5)
    await jobs.finish(lease.id, "w1", {"images": []})
    assert {ended.state for ended in await asyncio.gather(*waits)} == {State.COMPLETED}


async def test_onlookers_leave_nothing_behind(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    async with aclosing(jobs.watch(job.id)) as events:
        await anext(events)
        assert len(jobs._board.events) == 1
    assert len(jobs._board.events) == 0


async def test_progress_is_the_latest_and_ends_with_the_run(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    (lease,) = await jobs.take("w1", 1, 5)
    for step in range(3):
        await jobs.report(lease.id, "w1", progress(step))
    assert jobs.progress(job.id) == progress(2)
    await jobs.give_back(lease.id)
    assert jobs.progress(job.id) is None


async def test_the_log_is_kept_with_the_record(open_jobs: Open) -> None:
    jobs = await open_jobs(log_lines=5)
    job = await jobs.submit(new())
    for number in range(8):
        jobs.log(job.id, line(str(number)))
    assert [kept.message for kept in await jobs.logs(job.id, after=3)] == ["3", "4", TRUNCATED]
    (lease,) = await jobs.take("w1", 1, 5)
    await jobs.finish(lease.id, "w1", {"images": []})
    jobs.log(job.id, line("too late"))
    jobs = await open_jobs()
    assert [kept.message for kept in await jobs.logs(job.id)] == ["0", "1", "2", "3", "4", TRUNCATED]
    assert await jobs.logs("no-such-job") == []


async def test_who_does_not_keep_up_loses_progress_then_lines_never_states(jobs: Jobs) -> None:
    job = await jobs.submit(new())
    watcher = Watcher()
    watcher.push(job)
    for number in range(2 * MAX_PENDING):
        watcher.push(progress(number))
        watcher.push(line(str(number)))
    watcher.push(job)
    watcher.end()
    seen = [event async for event in watcher]
    assert len(seen) <= MAX_PENDING
    assert [event for event in seen if isinstance(event, Job)] == [job, job]
    assert not any(isinstance(event, Progress) for event in seen)
    assert seen[-2] == line(str(2 * MAX_PENDING - 1))


async def test_unread_progress_gives_way_to_newer(jobs: Jobs) -> None:
    watcher = Watcher()
    for number in range(10):
        watcher.push(progress(number))
    watcher.end()
    assert [event async for event in watcher] == [progress(9)]
