"""A submit said twice under one Idempotency-Key: the same request again, at no cost; another body is refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx2
import pytest

from gateway.keys import table
from tests.gateway.doors.fal.conftest import APP, Door
from tests.support.gateway import until
from tests.support.gateway_thread import threaded_gateway

URL = f"/queue/{APP}"
INVALID = {"num_images": "many"}


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid.uuid4())}


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Each key may have one job waiting, and submit two a minute."""
    data = tmp_path_factory.mktemp("strict") / "data"
    with (
        threaded_gateway(data, apikey="a key in plain text", key_max_waiting=1, key_jobs_per_minute=2) as served,
        httpx2.Client(base_url=served.url, trust_env=False, timeout=30) as http,
    ):
        yield Door(served, http)


def fresh(strict: Door, name: str) -> dict[str, str]:
    """Headers of a key that has not been used."""
    secret = strict.served.run(table.add(strict.served.gateway.files.store, name))
    headers = {"Authorization": f"Key {secret}"}
    until(lambda: strict.http.get(f"{URL}/requests/none", headers=headers).status_code == 404)
    return headers


def test_invalid_input_said_again_is_the_same_request(door: Door, key: dict[str, str]) -> None:
    first = door.submit(INVALID, headers=key)["request_id"]
    assert door.submit(INVALID, headers=key)["request_id"] == first
    assert door.http.get(f"{URL}/requests/{first}").status_code == 422


@pytest.mark.parametrize("other", [{"num_images": "few"}, {}, {"prompt": "a cat"}, []])
def test_another_body_is_refused_after_an_invalid_one(door: Door, key: dict[str, str], other: object) -> None:
    door.submit(INVALID, headers=key)
    reply = door.http.post(URL, json=other, headers=key)
    assert (reply.status_code, reply.json().get("error_type")) == (422, "idempotency_conflict")


def test_an_invalid_body_is_refused_after_a_valid_one(door: Door, key: dict[str, str]) -> None:
    door.submit({}, headers=key)
    assert door.http.post(URL, json=INVALID, headers=key).json()["error_type"] == "idempotency_conflict"


def test_the_log_tells_of_one_submit(door: Door, key: dict[str, str]) -> None:
    first = door.submit(headers=key)
    for _ in range(3):
        door.submit(headers=key)
    logs = door.http.get(f"{URL}/requests/{first['request_id']}/status", params={"logs": "1"}).json()["logs"]
    assert [line["message"].startswith("Queued with") for line in logs] == [True]


def test_no_limit_of_a_key_refuses_what_was_accepted(strict: Door, key: dict[str, str]) -> None:
    headers = fresh(strict, "waiting") | key
    first = strict.submit(headers=headers)["request_id"]
    assert [strict.submit(headers=headers)["request_id"] for _ in range(3)] == [first] * 3
    another = strict.http.post(URL, json={}, headers={**headers, "Idempotency-Key": "another"})
    assert another.status_code == 429


def test_nor_what_had_failed_at_once(strict: Door, key: dict[str, str]) -> None:
    headers = fresh(strict, "failing") | key
    first = strict.submit(INVALID, headers=headers)["request_id"]
    assert [strict.submit(INVALID, headers=headers)["request_id"] for _ in range(3)] == [first] * 3
