"""`GET /jobs`: the jobs of one key, of all doors, by page; those of another key are not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from gateway.keys import table
from tests.support.gateway import until
from tests.support.gateway_thread import ServedGateway, threaded_gateway

KEY = "a key in plain text"
SUBMITS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/queue/fal-ai/fooocus", {}),
    ("/v1/generation/text-to-image", {"async_process": True}),
    ("/runpod/v2/fooocus/run", {"input": {}}),
)
DOORS = ["runpod", "fooocus-api", "fal"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    with threaded_gateway(tmp_path_factory.mktemp("history") / "data", apikey=KEY) as served:
        yield served


def bearer(gateway: ServedGateway, key: str) -> httpx2.Client:
    headers = {"Authorization": f"Key {key}"}
    return httpx2.Client(base_url=gateway.url, headers=headers, trust_env=False, timeout=60)


@pytest.fixture(scope="module")
def mine(gateway: ServedGateway) -> httpx2.Client:
    """A key with one job of each door, the last of which has ended."""
    http = bearer(gateway, KEY)
    for path, body in SUBMITS:
        assert http.post(path, json=body).status_code == 200
    newest = http.get("/jobs").json()["jobs"][0]
    gateway.run(gateway.gateway.jobs.cancel(newest["id"]))
    return http


@pytest.fixture(scope="module")
def other(gateway: ServedGateway) -> httpx2.Client:
    """A key with a job of its own."""
    http = bearer(gateway, gateway.run(table.add(gateway.gateway.files.store, "other")))
    until(lambda: http.post(SUBMITS[0][0], json={}).status_code == 200)
    return http


def listed(http: httpx2.Client, **asked: Any) -> list[dict[str, Any]]:
    reply = http.get("/jobs", params=asked)
    assert reply.status_code == 200, reply.text
    return list(reply.json()["jobs"])


def test_jobs_of_all_doors_newest_first(mine: httpx2.Client) -> None:
    jobs = listed(mine)
    assert [job["door"] for job in jobs] == DOORS
    assert [job["state"] for job in jobs] == ["cancelled", "queued", "queued"]
    assert jobs[0]["error"]["code"] == "client_cancelled"
    assert jobs[0]["created_at"] <= jobs[0]["ended_at"] < jobs[0]["expires_at"]
    assert jobs[1]["error"] is jobs[1]["ended_at"] is None
    assert not {"input", "output", "extra", "owner", "webhooks"} & jobs[0].keys()


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"door": "fal"}, ["fal"]),
        ({"door": "none"}, []),
        ({"state": "queued"}, ["fooocus-api", "fal"]),
        ({"state": "cancelled", "door": "runpod"}, ["runpod"]),
        ({"state": "completed"}, []),
    ],
)
def test_by_door_and_state(mine: httpx2.Client, asked: dict[str, str], found: list[str]) -> None:
    assert [job["door"] for job in listed(mine, **asked)] == found


def test_by_page(mine: httpx2.Client) -> None:
    pages, before = [], None
    while not pages or before is not None:
        page = mine.get("/jobs", params={"limit": 2} | ({"before": before} if before else {})).json()
        pages.append([job["door"] for job in page["jobs"]])
        before = page["next"]
    assert pages == [DOORS[:2], DOORS[2:]]


def test_another_key_sees_its_own_alone(mine: httpx2.Client, other: httpx2.Client) -> None:
    ids = {job["id"] for job in listed(mine)}
    theirs = listed(other)
    assert len(theirs) == 1
    assert ids.isdisjoint(job["id"] for job in theirs)
    for job_id in ids:
        assert other.get("/jobs", params={"before": job_id}).status_code == 404


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 101}, {"state": "lost"}])
def test_what_cannot_be_asked(mine: httpx2.Client, asked: dict[str, Any]) -> None:
    assert mine.get("/jobs", params=asked).status_code == 422


def test_nobody_without_a_key(gateway: ServedGateway) -> None:
    assert httpx2.get(f"{gateway.url}/jobs", trust_env=False).status_code == 401
