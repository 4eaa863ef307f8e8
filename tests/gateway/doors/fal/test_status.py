"""Status objects: the keys each client needs in each state, and only the three words both know."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from gateway.doors.fal.status import Queue, status_body, submitted_body
from gateway.jobs.model import Failure, Job, LogLine, State
from schemas.errors import JobCancelled

QUEUE = Queue("http://127.0.0.1:8888/queue")
URL = "http://127.0.0.1:8888/queue/fal-ai/fooocus/requests/j1"
JOB = Job(
    id="j1", owner="local", door="fal", app="fal-ai/fooocus/inpaint", input={}, extra={}, state=State.QUEUED,
    low_priority=False, attempts=0, created_at=1.0, started_at=None, ended_at=None, worker=None, output=None,
    failure=None, execution_timeout_s=600.0, file_ttl_s=86400.0, expires_at=None, webhooks=(),
)  # fmt: skip
RUNNING = replace(JOB, state=State.RUNNING, started_at=2.0)
DONE = replace(RUNNING, state=State.COMPLETED, ended_at=5.5, output={"timings": {"inference": 3.25}})
NO_ROOM = Failure("out_of_memory", 500, True, "No room", "No room")
FAILED = replace(DONE, state=State.FAILED, output=None, failure=NO_ROOM)
CANCELLED = replace(JOB, state=State.CANCELLED, ended_at=3.0, failure=Failure.of(JobCancelled()))


@pytest.mark.parametrize(
    ("job", "word"),
    [(JOB, "IN_QUEUE"), (RUNNING, "IN_PROGRESS"), (DONE, "COMPLETED"), (FAILED, "COMPLETED"), (CANCELLED, "COMPLETED")],
)
def test_every_state_has_one_of_three_words_and_what_python_needs(job: Job, word: str) -> None:
    body = status_body(job, QUEUE)
    assert body["status"] == word
    assert body["logs"] is None
    assert body["request_id"] == "j1"
    assert (body["response_url"], body["status_url"], body["cancel_url"]) == (URL, f"{URL}/status", f"{URL}/cancel")
    assert ("queue_position" in body) == (word == "IN_QUEUE")
    assert ("metrics" in body) == (word == "COMPLETED")


def test_the_place_in_the_queue() -> None:
    assert status_body(JOB, QUEUE, position=4)["queue_position"] == 4


def test_logs_that_were_asked_for_are_a_list_even_when_there_are_none() -> None:
    assert status_body(RUNNING, QUEUE, logs=[])["logs"] == []


def test_a_log_entry_has_all_four_keys() -> None:
    (entry,) = status_body(RUNNING, QUEUE, logs=[LogLine(1_700_000_000.5, "INFO", "Step 1/4")])["logs"]
    assert entry["message"] == "Step 1/4"
    assert (entry["level"], entry["source"]) == ("INFO", "USER")
    assert datetime.fromisoformat(entry["timestamp"]).timestamp() == 1_700_000_000.5


def test_time_on_the_pictures() -> None:
    assert status_body(DONE, QUEUE)["metrics"] == {"inference_time": 3.25}
    assert status_body(FAILED, QUEUE)["metrics"] == {"inference_time": 3.5}
    assert status_body(CANCELLED, QUEUE)["metrics"] == {"inference_time": None}


def test_why_it_failed() -> None:
    body = status_body(FAILED, QUEUE)
    assert (body["error"], body["error_type"]) == ("No room", "out_of_memory")
    assert status_body(CANCELLED, QUEUE)["error_type"] == "client_cancelled"
    assert "error" not in status_body(DONE, QUEUE)


def test_a_submit_is_answered_with_what_both_clients_follow() -> None:
    assert submitted_body(FAILED, QUEUE, 0) == {
        "status": "IN_QUEUE", "request_id": "j1", "gateway_request_id": "j1", "queue_position": 0, "logs": None,
        "metrics": {}, "response_url": URL, "status_url": f"{URL}/status", "cancel_url": f"{URL}/cancel",
    }  # fmt: skip
