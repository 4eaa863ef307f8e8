"""The platform's side of the worker protocol: hand-over, results, progress, stops and pings, with both shapes of URL,
and what a worker may not do."""

from __future__ import annotations

import base64
import json
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.jobs.model import Job, Progress, State
from tests.support.gateway import until
from tests.support.gateway_thread import ServedGateway
from tests.support.protocol_worker import CLIENT, ProtocolWorker

STEP = {"image": 0, "images": 2, "step": 4, "steps": 30, "progress": 0.0667, "preview": "data:image/jpeg;base64,AAAA"}


@pytest.fixture(params=["?", "&"], ids=["query", "path"])
def worker(served: ServedGateway, request: pytest.FixtureRequest) -> ProtocolWorker:
    return ProtocolWorker(served, f"w{request.param_index}", request.param)


@pytest.fixture
def plain(served: ServedGateway) -> ProtocolWorker:
    return ProtocolWorker(served, "plain")


def job(served: ServedGateway, job_id: str) -> Job:
    found = served.run(served.gateway.jobs.get(job_id))
    assert found is not None
    return found


def test_a_job_goes_to_a_worker_and_its_result_back(served: ServedGateway, worker: ProtocolWorker) -> None:
    submitted = served.submit({"prompt": "ein Kreis, ü"})
    taken = worker.must_take()
    assert taken["input"] == {"prompt": "ein Kreis, ü"}
    assert taken["id"] == f"{submitted.id}-a1"
    assert taken["uploadUrl"].startswith(f"{served.url}/")
    assert "{file_name}" in taken["uploadUrl"]
    assert worker.done(taken["id"], {"output": {"seeds": ["ü"]}}).status_code == 200
    ended = job(served, submitted.id)
    assert (ended.state, ended.output, ended.worker) == (State.COMPLETED, {"seeds": ["ü"]}, worker.name)


def test_a_batch_is_as_large_as_asked_and_there_is(served: ServedGateway, worker: ProtocolWorker) -> None:
    jobs = [served.submit({"number": number}) for number in range(3)]
    first, second = worker.batch(2), worker.batch(2)
    assert [taken["input"]["number"] for taken in first + second] == [0, 1, 2]
    assert len(first) == 2
    for taken in first + second:
        worker.done(taken["id"], {"output": {}})
    assert {job(served, each.id).state for each in jobs} == {State.COMPLETED}


def test_pictures_travel_to_the_worker_inside_the_job(served: ServedGateway, plain: ProtocolWorker) -> None:
    """It fetches no private address, so uploads go as data URIs; large ones leave the queue while the job waits."""
    files = served.gateway.files
    upload = served.run(files.add(b"\x89PNG\r\n\x1a\n" + bytes(8), name="a.png", owner="local"))
    large = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(100_000)).decode()
    submitted = served.submit({"image_url": files.url(upload, served.url), "mask_url": large, "seed": 7})
    assert len(str(submitted.input)) < 1000
    taken = plain.must_take()
    small = "data:image/png;base64,iVBORw0KGgoAAAAAAAAAAA=="
    assert taken["input"] == {"image_url": small, "mask_url": large, "seed": 7}
    plain.done(taken["id"], {"output": {}})


def test_a_result_is_uploaded_under_its_lease(served: ServedGateway, plain: ProtocolWorker) -> None:
    submitted = served.submit({})
    taken = plain.must_take()
    picture = b"\x89PNG\r\n\x1a\n" + bytes(8)
    url, token = taken["uploadUrl"].replace("{file_name}", "0.png"), taken["uploadToken"]
    assert CLIENT.put(url, content=picture, headers={"Authorization": "Bearer no"}).status_code == 401
    stored = CLIENT.put(url, content=picture, headers={"Authorization": f"Bearer {token}"})
    assert CLIENT.get(stored.json()["url"]).content == picture
    plain.done(taken["id"], {"output": {}})
    assert CLIENT.put(url, content=picture, headers={"Authorization": f"Bearer {token}"}).status_code == 404
    assert job(served, submitted.id).state is State.COMPLETED


def test_a_preview_is_at_the_door_within_200_ms(served: ServedGateway, plain: ProtocolWorker) -> None:
    """From the worker's post to the client's line; the median, as the machine may be busy."""
    preview = "data:image/jpeg;base64," + "A" * 100_000
    seen: dict[int, float] = {}

    def listen() -> None:
        with CLIENT.stream("POST", f"{served.url}/run/fal-ai/fooocus/stream", json={"prompt": "x"}) as events:
            for line in events.iter_lines():
                if '"progress"' in line:
                    shown = json.loads(line.removeprefix("data: "))
                    assert shown["images"][0]["url"] == preview
                    seen[shown["progress"]["step"]] = time.monotonic()

    posted = {}
    with ThreadPoolExecutor(1) as pool:
        listening = pool.submit(listen)
        lease = until(plain.take)["id"]
        for step in range(1, 12):
            posted[step] = time.monotonic()
            plain.progress(lease, STEP | {"step": step, "preview": preview})
            until(lambda step=step: step in seen, 10, 0.001)
        plain.done(lease, {"output": {"images": []}})
        listening.result(10)
    assert statistics.median(seen[step] - posted[step] for step in posted) < 0.2


def test_a_poll_without_a_job_is_held_and_then_204(plain: ProtocolWorker) -> None:
    started = time.monotonic()
    assert plain.call("GET", "job-take").status_code == 204
    assert 0.4 < time.monotonic() - started < 2


def test_a_poll_whose_worker_has_gone_swallows_no_job(served: ServedGateway, plain: ProtocolWorker) -> None:
    """Twenty times: the connection closes just before or after the job is there."""
    token = served.gateway.fleet.tokens.of("leaver")
    request = f"GET /worker/v2/fooocus/job-take/leaver HTTP/1.1\r\nHost: localhost\r\nAuthorization: {token}\r\n\r\n"
    for number in range(20):
        poll = socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])))
        poll.sendall(request.encode())
        leaver = served.gateway.fleet.workers.get("leaver")
        until(lambda leaver=leaver: leaver.polls > 0, pause_s=0.001)
        if number % 2:
            poll.close()
            submitted = served.submit({})
        else:
            submitted = served.submit({})
            poll.close()
        until(lambda leaver=leaver: leaver.polls == 0, pause_s=0.001)
        taken = None if number % 2 == 0 and job(served, submitted.id).worker == "leaver" else plain.must_take()
        if taken is None:
            # The answer was on its way when the worker left: known by its silence.
            served.run(served.gateway.fleet.lost(leaver))
            taken = plain.must_take()
        plain.done(taken["id"], {"output": {}})
        assert job(served, submitted.id).state is State.COMPLETED


def test_progress_reaches_watchers_and_the_log(served: ServedGateway, worker: ProtocolWorker) -> None:
    submitted = served.submit({})
    lease = worker.must_take()["id"]
    assert worker.progress(lease, STEP).status_code == 200
    seen = served.gateway.jobs.progress(submitted.id)
    assert seen == Progress(0, 2, 4, 30, 0.0667, STEP["preview"])
    worker.done(lease, {"output": {}})
    lines = [line.message for line in served.run(served.gateway.jobs.logs(submitted.id))]
    assert lines[0].startswith("Queued with 0 jobs ahead")
    assert lines[1:] == [f"Started on worker {worker.name}", "Step 4/30 of image 1/2"]


@pytest.mark.parametrize("output", [None, 7, {}, STEP | {"step": "4"}, STEP | {"steps": -1}, STEP | {"progress": None}])
def test_what_is_no_progress_changes_nothing(served: ServedGateway, plain: ProtocolWorker, output: object) -> None:
    submitted = served.submit({})
    lease = plain.must_take()["id"]
    assert plain.progress(lease, output).status_code == 200
    assert served.gateway.jobs.progress(submitted.id) is None
    plain.done(lease, {"output": {}})


def test_a_preview_must_be_a_picture(served: ServedGateway, plain: ProtocolWorker) -> None:
    submitted = served.submit({})
    lease = plain.must_take()["id"]
    plain.progress(lease, {**STEP, "preview": "javascript:alert(1)"})
    assert served.gateway.jobs.progress(submitted.id) == Progress(0, 2, 4, 30, 0.0667, None)
    plain.done(lease, {"output": {}})


FAILURES = [
    (
        "INVALID_INPUT: prompt: no",
        {"status": 422, "retryable": False, "detail": [{"loc": ["body"]}]},
        ("invalid_input", 422, False, [{"loc": ["body"]}], "prompt: no"),
    ),
    (
        "OUT_OF_MEMORY: small",
        {"status": 500, "retryable": True, "detail": "small"},
        ("out_of_memory", 500, True, "small", "small"),
    ),
    ("RESULT_REFUSED: no", None, ("result_refused", 500, False, "no", "no")),
    ("MODEL_MISSING: no", {"status": 200, "detail": {"a": "/etc"}}, ("model_missing", 500, False, "no", "no")),
]


@pytest.mark.parametrize(("error", "output", "expected"), FAILURES)
def test_a_failure_keeps_its_words(
    served: ServedGateway, plain: ProtocolWorker, error: str, output: dict | None, expected: tuple
) -> None:
    submitted = served.submit({})
    plain.done(plain.must_take()["id"], {"error": error} | ({"output": output} if output else {}))
    failed = job(served, submitted.id)
    assert failed.state is State.FAILED
    assert failed.failure is not None
    failure = failed.failure
    assert (failure.code, failure.status, failure.retryable, failure.detail, failure.message) == expected


@pytest.mark.parametrize(
    "body",
    [
        {"error": '{"error_type": "KeyError", "error_traceback": "File /secret/path.py"}'},
        {"error": {"message": "/secret"}},
        {"error": ["/secret"]},
        {"output": ["/secret"]},
        {},
    ],
)
def test_a_crash_of_the_handler_tells_clients_nothing_of_it(
    served: ServedGateway, plain: ProtocolWorker, body: dict
) -> None:
    submitted = served.submit({})
    assert plain.done(plain.must_take()["id"], body).status_code == 200
    failed = job(served, submitted.id)
    assert failed.state is State.FAILED
    assert failed.failure is not None
    assert failed.failure.code == "internal_server_error"
    assert "secret" not in str(failed.failure)


def test_a_cancelled_job_is_stopped_and_its_result_dropped(served: ServedGateway, worker: ProtocolWorker) -> None:
    submitted = served.submit({})
    lease = worker.must_take()["id"]
    served.run(served.gateway.jobs.cancel(submitted.id))
    assert worker.stops() == [lease]
    assert worker.stops() == []
    assert worker.done(lease, {"output": {"late": True}}).status_code == 200
    assert job(served, submitted.id).state is State.CANCELLED
    assert job(served, submitted.id).output is None


def test_a_stop_that_got_lost_is_told_again_after_a_ping(served: ServedGateway, worker: ProtocolWorker) -> None:
    submitted = served.submit({})
    lease = worker.must_take()["id"]
    served.run(served.gateway.jobs.cancel(submitted.id))
    assert worker.stops() == [lease]
    assert worker.ping(lease).status_code == 200
    assert worker.stops() == [lease]


def test_another_workers_job_is_out_of_reach(served: ServedGateway, plain: ProtocolWorker) -> None:
    submitted = served.submit({})
    lease = plain.must_take()["id"]
    other = ProtocolWorker(served, "other")
    assert other.done(lease, {"output": {"stolen": True}}).status_code == 200
    assert other.progress(lease, STEP).status_code == 200
    assert job(served, submitted.id).state is State.RUNNING
    assert served.gateway.jobs.progress(submitted.id) is None
    plain.done(lease, {"output": {"mine": True}})
    assert job(served, submitted.id).output == {"mine": True}


def test_an_earlier_attempt_cannot_end_a_later_one(served: ServedGateway, plain: ProtocolWorker) -> None:
    submitted = served.submit({})
    first = plain.must_take()["id"]
    served.run(served.gateway.fleet.lost(served.gateway.fleet.workers.get("plain")))
    second = plain.must_take()["id"]
    assert (first, second) == (f"{submitted.id}-a1", f"{submitted.id}-a2")
    plain.done(first, {"output": {"attempt": 1}})
    assert job(served, submitted.id).state is State.RUNNING
    plain.done(second, {"output": {"attempt": 2}})
    assert job(served, submitted.id).output == {"attempt": 2}
    lines = [line.message for line in served.run(served.gateway.jobs.logs(submitted.id))]
    assert lines[-1] == "Started on worker plain, try 2"


@pytest.mark.parametrize(("headers", "tries"), [({"X-Fal-No-Retry": "1"}, 1), ({}, 3)])
def test_a_request_that_is_not_to_be_retried_fails_with_its_first_worker(
    served: ServedGateway, plain: ProtocolWorker, headers: dict[str, str], tries: int
) -> None:
    queue = f"{served.url}/queue/fal-ai/fooocus"
    request_id = CLIENT.post(queue, json={}, headers=headers).json()["request_id"]
    for number in range(1, tries + 1):
        assert plain.must_take()["id"] == f"{request_id}-a{number}"
        served.run(served.gateway.fleet.lost(served.gateway.fleet.workers.get("plain")))
    result = CLIENT.get(f"{queue}/requests/{request_id}")
    assert (result.status_code, result.json()["error_type"]) == (500, "worker_lost")
    assert plain.take() is None


def test_a_wrong_token_opens_nothing_and_is_slowed_down(served: ServedGateway) -> None:
    started = time.monotonic()
    answer = ProtocolWorker(served, "plain", token="wrong").call("GET", "job-take")
    assert answer.status_code == 401
    assert time.monotonic() - started > 1.5


def test_a_token_fits_one_name(served: ServedGateway) -> None:
    stolen = served.gateway.fleet.tokens.of("plain")
    assert ProtocolWorker(served, "other", token=stolen).call("GET", "job-take").status_code == 401


@pytest.mark.parametrize(
    ("method", "operation", "lease", "body", "status"),
    [
        ("GET", "job-nothing", "", None, 400),
        ("POST", "job-take", "", {}, 400),
        ("POST", "job-done", "", {"output": {}}, 400),
        ("POST", "job-done", "../../x", {"output": {}}, 400),
        ("POST", "job-done", "x" * 200, {"output": {}}, 400),
        ("POST", "job-done", "no-such-a1", b"{", 400),
        ("POST", "job-done", "no-such-a1", [1], 400),
        ("POST", "job-done", "no-such-a1", b"[" * 5000 + b"]" * 5000, 400),
        ("POST", "job-done", "no-such-a1", {"output": {}}, 200),
        ("POST", "job-stream", "no-such-a1", {"output": 1}, 200),
    ],
)
def test_odd_calls_get_plain_answers(
    plain: ProtocolWorker, method: str, operation: str, lease: str, body: object, status: int
) -> None:
    assert plain.call(method, operation, lease, body=body).status_code == status


def test_a_worker_that_asks_to_be_replaced_gets_no_more_jobs(served: ServedGateway) -> None:
    worker = ProtocolWorker(served, "spent")
    served.submit({})
    worker.done(worker.must_take()["id"], {"error": "X_Y: z", "stopPod": True})
    waiting = served.submit({})
    assert worker.take() is None
    assert served.gateway.fleet.workers.counts()["unhealthy"] == 1
    other = ProtocolWorker(served, "fresh")
    other.done(other.must_take()["id"], {"output": {}})
    assert job(served, waiting.id).state is State.COMPLETED


def test_pings_alone_do_not_keep_a_job(served: ServedGateway) -> None:
    """The SDK's heartbeat process goes on claiming the job of a dead main process."""
    worker = ProtocolWorker(served, "silent")
    submitted = served.submit({})
    lease = worker.must_take()["id"]
    fleet = served.gateway.fleet
    fleet.workers.get("silent").seen_at = time.monotonic() - 60
    worker.ping(lease)
    again = until(lambda: ProtocolWorker(served, "next").take(), 10)
    assert again["id"] == f"{submitted.id}-a2"
    ProtocolWorker(served, "next").done(again["id"], {"output": {}})
    assert job(served, submitted.id).state is State.COMPLETED


def test_a_picture_that_cannot_be_read_fails_its_job_alone(served: ServedGateway, plain: ProtocolWorker) -> None:
    files, large = served.gateway.files, "data:image/png;base64," + base64.b64encode(bytes(100_000)).decode()
    before = files.disk.names()
    broken = served.submit({"mask_url": large})
    (blob,) = files.disk.names() - before
    path = served.gateway.settings.data / "files" / "blobs" / blob
    path.unlink()
    path.mkdir()  # Reading it is an error of the disk, whoever reads.
    whole = served.submit({"number": 2})
    assert [taken["id"] for taken in plain.batch(2)] == [f"{whole.id}-a1"]
    ended = job(served, broken.id)
    assert (ended.state, ended.failure and ended.failure.code) == (State.FAILED, "internal_server_error")
    plain.done(f"{whole.id}-a1", {"output": {}})
