"""The queue's routes as HTTP: every form of a submit, aliases of a request's path, refusals, an id on each reply."""

from __future__ import annotations

import time
import uuid

import pytest

from gateway.doors.fal.options import UNSTORED_TTL_S
from tests.gateway.doors.fal.conftest import APP, Door

URL = f"/queue/{APP}"


def test_a_submit_names_urls_under_the_address_it_came_to(door: Door) -> None:
    sent = door.submit(endpoint=f"{APP}/inpaint", input={"inpaint_image_url": "https://example.com/a.png"})
    assert sent["status_url"] == f"{door.served.url}/queue/{APP}/requests/{sent['request_id']}/status"
    named = door.submit(headers={"Host": "localhost:1234"})
    assert named["cancel_url"] == f"http://localhost:1234/queue/{APP}/requests/{named['request_id']}/cancel"


def test_callers_led_here_by_name_stay_on_fals_names(door: Door) -> None:
    reply = door.http.post(f"/{APP}", json={}, headers={"Host": "queue.fal.run"})
    request_id = reply.json()["request_id"]
    assert reply.json()["response_url"] == f"https://queue.fal.run/{APP}/requests/{request_id}"
    upload = door.http.post("/storage/upload/initiate", json={"file_name": "a.png"}, headers={"Host": "rest.fal.ai"})
    assert upload.json()["upload_url"].startswith("https://v3.fal.media/uploads/")
    assert upload.json()["file_url"].startswith(f"{door.served.url}/files/")


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b" "])
def test_nothing_at_all_is_an_input(door: Door, body: bytes) -> None:
    reply = door.http.post(URL, content=body)
    assert reply.status_code == 200
    assert door.job(reply.json()["request_id"]).input == {"endpoint": ""}


def test_input_in_a_query_and_by_put(door: Door) -> None:
    by_query = door.http.get(URL, params={"prompt": "a star", "num_images": "2", "fal_max_queue_length": "1000"})
    assert door.job(by_query.json()["request_id"]).input == {"endpoint": "", "prompt": "a star", "num_images": 2}
    by_put = door.http.put(URL, json={"prompt": "a star"})
    assert door.job(by_put.json()["request_id"]).input == {"endpoint": "", "prompt": "a star"}


def test_only_known_fields_of_the_endpoint_called_are_kept(door: Door) -> None:
    sent = door.submit({"prompt": "x", "endpoint": "describe", "no_such_field": 1, "seed": None})
    assert door.job(sent["request_id"]).input == {"endpoint": "", "prompt": "x"}


def test_what_headers_say_is_in_the_job(door: Door) -> None:
    headers = {
        "X-Fal-Object-Lifecycle-Preference": '{"expiration_duration_seconds": 60}',
        "X-Fal-Store-IO": "0",
        "X-Fal-Queue-Priority": "low",
    }
    sent = door.submit(headers=headers, params={"fal_webhook": "http://127.0.0.1:9/hook?a=b"})
    job = door.job(sent["request_id"])
    assert (job.file_ttl_s, job.low_priority) == (60, True)
    assert [(webhook.url, webhook.dialect) for webhook in job.webhooks] == [("http://127.0.0.1:9/hook?a=b", "fal")]
    assert door.http.put(f"{URL}/requests/{job.id}/cancel").status_code == 202
    assert door.job(job.id).expires_at == pytest.approx(time.time() + UNSTORED_TTL_S, abs=60)


@pytest.mark.parametrize("endpoint", [APP, f"{APP}/inpaint", f"{APP}/upscale-or-vary"])
def test_every_path_a_request_is_known_by(door: Door, endpoint: str) -> None:
    request_id = door.submit()["request_id"]
    of_request = f"/queue/{endpoint}/requests/{request_id}"
    assert door.http.get(f"{of_request}/status").status_code == 202
    for result in (of_request, f"{of_request}/response"):
        early = door.http.get(result)
        assert early.status_code == 400
        assert early.json()["detail"] == "Request is still in progress"
        assert early.json()["request_id"] == early.headers["x-fal-request-id"] == request_id
    assert door.http.put(f"{of_request}/cancel").json() == {"status": "CANCELLATION_REQUESTED"}
    assert door.http.put(f"{of_request}/cancel").json() == {"status": "ALREADY_COMPLETED"}
    ended = door.http.get(f"{of_request}/status", params={"logs": "true"})
    assert (ended.status_code, ended.json()["status"]) == (200, "COMPLETED")
    assert door.http.get(of_request).status_code == 499


@pytest.mark.parametrize(
    ("headers", "params", "named"),
    [
        ({"X-Fal-Request-Timeout": "soon"}, {}, "x-fal-request-timeout"),
        ({"X-Fal-Object-Lifecycle-Preference": "1h"}, {}, "x-fal-object-lifecycle-preference"),
        ({}, {"fal_max_queue_length": "-1"}, "fal_max_queue_length"),
        ({}, {"fal_webhook": "ftp://example.com/"}, "fal_webhook"),
        ({}, {"fal_webhook": "https://user@example.com/"}, "fal_webhook"),
    ],
)
def test_what_cannot_be_read_is_named(
    door: Door, headers: dict[str, str], params: dict[str, str], named: str
) -> None:
    reply = door.http.post(URL, json={}, headers=headers, params=params)
    assert reply.status_code == 400
    assert named in reply.json()["detail"]
    assert reply.json()["error_type"] == reply.headers["x-fal-error-type"] == "bad_request"


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"seed": NaN}', b'{"a": 1, "a": 2}', b"[" * 1000])
def test_what_is_not_json_is_refused_at_once(door: Door, body: bytes) -> None:
    assert door.http.post(URL, content=body).status_code == 400


def test_a_list_is_no_input(door: Door) -> None:
    request_id = door.submit([])["request_id"]
    failed = door.http.get(f"{URL}/requests/{request_id}")
    assert (failed.status_code, failed.json()["detail"][0]["loc"]) == (422, ["body"])


def test_a_queue_that_is_longer_than_the_caller_likes(door: Door) -> None:
    door.submit()
    reply = door.http.post(URL, json={}, params={"fal_max_queue_length": "0"})
    assert reply.status_code == 429
    assert int(reply.headers["retry-after"]) >= 1


def test_a_submit_may_be_said_twice(door: Door) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    assert door.submit(headers=headers)["request_id"] == door.submit(headers=headers)["request_id"]
    other = door.http.post(URL, json={"prompt": "another"}, headers=headers)
    assert other.status_code == 422


FOREIGN_HOST = {"Host": "evil.example"}
FOREIGN_ORIGIN = {"Origin": "https://evil.example"}


@pytest.mark.parametrize("headers", [{}, FOREIGN_HOST, FOREIGN_ORIGIN], ids=["welcome", "host", "origin"])
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/queue", 404),
        ("POST", "/queue/one-segment", 404),
        ("POST", "/queue/", 404),
        ("POST", f"/queue/workflows/{APP}", 404),
        ("POST", "/run/fal-ai/other", 404),
        ("POST", "/run/fal-ai/other/stream", 404),
        ("GET", f"{URL}/requests/none", 404),
        ("GET", f"{URL}/requests/%0d%0aset-cookie:a=b/status", 404),
        ("GET", f"{URL}/requests/%E2%98%83/status", 404),
        ("POST", f"{URL}/requests/none/status", 405),
        ("GET", f"{URL}/requests/none/cancel", 405),
        ("GET", "/api/fal/proxy", 400),
        ("PUT", "/cdn/uploads/none?token=x", 404),
        ("GET", "/cdn/files/none/a.png", 404),
        ("POST", "/rest/storage/upload/initiate-multipart", 200),
        ("DELETE", "/queue/fal-ai/fooocus", 405),
    ],
)
def test_every_reply_is_json_with_an_id_of_its_own(
    door: Door, method: str, path: str, status: int, headers: dict[str, str]
) -> None:
    """Also those of the guards, which ask for no path."""
    reply = door.http.request(method, path, headers=headers)
    assert reply.status_code == (421 if headers is FOREIGN_HOST else 403 if headers is FOREIGN_ORIGIN else status)
    assert isinstance(reply.json(), dict)
    assert uuid.UUID(reply.headers["x-fal-request-id"])
    assert "set-cookie" not in reply.headers


def test_a_crash_is_a_reply_too(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page reads it and its id as any other: without CORS headers it would be told of a broken network."""
    monkeypatch.setattr(door.served.gateway.keys, "identify", None)
    origin = "http://localhost:3000"
    reply = door.http.post(URL, json={}, headers={"Origin": origin})
    assert (reply.status_code, reply.json()["error_type"]) == (500, "internal_server_error")
    assert uuid.UUID(reply.headers["x-fal-request-id"])
    assert reply.headers["x-request-id"]
    assert reply.headers["access-control-allow-origin"] in ("*", origin)


def test_a_preflight_has_an_id(door: Door) -> None:
    asked = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST"}
    reply = door.http.options(URL, headers=asked)
    assert reply.status_code == 200
    assert uuid.UUID(reply.headers["x-fal-request-id"])


def test_paths_of_others_get_no_id_of_fals(door: Door) -> None:
    for headers in ({}, FOREIGN_HOST):
        assert "x-fal-request-id" not in door.http.get("/healthz", headers=headers).headers
