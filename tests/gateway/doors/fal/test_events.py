"""Streams of events: only what is new, a sign of life in silence, and an end that is no end when the job failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from gateway.doors.fal import events
from gateway.doors.fal.sse import KEEP_ALIVE, BrokenOff, EventStream, event, paced
from gateway.jobs.model import Failure, LogLine, Progress
from schemas.errors import OutOfMemory
from tests.gateway.doors.fal.conftest import APP, Door
from tests.support.gateway import until


def test_silence_is_told_and_nothing_is_lost() -> None:
    """Each item comes only once the silence before it was told."""

    async def heard() -> list[Any]:
        silence, found = asyncio.Event(), []

        async def slow() -> AsyncIterator[int]:
            for item in (1, 2, 3):
                silence.clear()
                await silence.wait()
                yield item

        async with asyncio.timeout(60):
            async for item in paced(slow(), 0.02):
                found.append(item)
                if item is None:
                    silence.set()
        return found

    found = asyncio.run(heard())
    assert [item for item in found if item is not None] == [1, 2, 3]
    assert found.count(None) >= 3


def test_an_event_is_one_line() -> None:
    assert event({"a": "x\ny", "b": "ä"}) == 'data: {"a":"x\\ny","b":"ä"}\n\n'.encode()


@pytest.mark.parametrize("broken", [True, False])
def test_a_stream_that_breaks_off_is_not_closed_in_order(broken: bool) -> None:
    """The closing message is what tells a client that it has everything."""
    sent: list[Any] = []
    ended: list[bool] = []

    async def source() -> AsyncIterator[bytes]:
        yield event(1)
        if broken:
            raise BrokenOff

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def at_end() -> None:
        ended.append(True)

    stream = EventStream(source(), "j1", at_end)  # type: ignore[arg-type]
    asyncio.run(stream({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send))
    assert sent[1]["body"] == event(1)
    assert (sent[-1].get("more_body") is False) is not broken
    assert ended == [True]


def test_a_waiting_request_gives_signs_of_life_and_new_lines_only(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "POSITION_S", 0.05)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.1)
    jobs = door.served.gateway.jobs
    request_id = door.submit()["request_id"]
    found: list[dict[str, Any]] = []
    beats = 0
    with door.http.stream("GET", f"/queue/{APP}/requests/{request_id}/status/stream", params={"logs": "1"}) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["x-fal-request-id"] == request_id
        for line in reply.iter_lines():
            if line == KEEP_ALIVE.decode().strip():
                beats += 1
                if beats == 2:
                    door.served.loop.call_soon_threadsafe(jobs.log, request_id, LogLine(1.0, "WARN", "still here"))
                if beats == 4:
                    door.http.put(f"/queue/{APP}/requests/{request_id}/cancel")
            elif line:
                found.append(json.loads(line.removeprefix("data: ")))
    logs = [[line["message"] for line in status["logs"]] for status in found]
    assert ["still here"] in logs
    assert [line for lines in logs for line in lines].count("still here") == 1
    assert [status["status"] for status in found if not status["logs"]] == ["COMPLETED"]
    assert found[-1]["error_type"] == "client_cancelled"


def test_without_logs_there_are_only_states(door: Door) -> None:
    request_id = door.submit()["request_id"]
    with door.http.stream("GET", f"/queue/{APP}/requests/{request_id}/status/stream") as reply:
        lines = reply.iter_lines()
        assert json.loads(next(lines).removeprefix("data: "))["logs"] is None
        door.http.put(f"/queue/{APP}/requests/{request_id}/cancel")
        (last,) = [line for line in lines if line]
    assert json.loads(last.removeprefix("data: "))["status"] == "COMPLETED"


def test_a_stream_that_fails_midway_tells_why_and_is_cut(door: Door) -> None:
    jobs, run = door.served.gateway.jobs, door.served.run
    told: list[str] = []

    def listen() -> None:
        with door.http.stream("POST", f"/run/{APP}/stream", json={}) as reply:
            told.extend(line for line in reply.iter_lines() if line)

    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(listen)
        (lease,) = run(jobs.take("w1", 1, 60))
        run(jobs.report(lease.id, "w1", Progress(0, 1, 1, 4, 0.25)))
        run(jobs.finish(lease.id, "w1", Failure.of(OutOfMemory())))
        with pytest.raises(httpx2.RemoteProtocolError):
            listening.result(60)
    step, failure = (json.loads(line.removeprefix("data: ")) for line in told)
    assert step["progress"]["share"] == 0.25
    assert failure == {"detail": str(OutOfMemory()), "error_type": "out_of_memory"}


def test_a_run_that_fails_before_its_first_step_answers_with_the_failure(door: Door) -> None:
    jobs, run = door.served.gateway.jobs, door.served.run
    for path in (f"/run/{APP}", f"/run/{APP}/stream"):
        with ThreadPoolExecutor(1) as pool:
            replied = pool.submit(door.http.post, path, json={})
            (lease,) = run(jobs.take("w1", 1, 60))
            run(jobs.finish(lease.id, "w1", Failure.of(OutOfMemory())))
            reply = replied.result(60)
        assert (reply.status_code, reply.json()["error_type"]) == (500, "out_of_memory")
        assert reply.headers["x-fal-request-id"] == lease.job.id


def test_who_leaves_a_waiting_run_takes_it_along(door: Door) -> None:
    jobs = door.served.gateway.jobs
    before = jobs.counts().queued
    for path in (f"/run/{APP}", f"/run/{APP}/stream"):
        with pytest.raises(httpx2.ReadTimeout):
            door.http.post(path, json={}, timeout=0.5)
        until(lambda: jobs.counts().queued == before)
