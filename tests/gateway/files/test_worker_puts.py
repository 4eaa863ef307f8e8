"""A worker puts pictures under the lease it has, while it has it, and nowhere else."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx2
import pytest

from gateway.files.model import Limits, UploadGrant
from gateway.files.sweep import Sweep
from gateway.jobs.model import Failure, Lease
from tests.gateway.files.pictures import picture
from tests.support.gateway_thread import ServedGateway, new_job, threaded_gateway
from tests.support.worker import wait_for

FAILURE = Failure("out_of_memory", 500, True, "no", "no")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedGateway]:
    with threaded_gateway(tmp_path_factory.mktemp("gateway") / "data") as gateway:
        gateway.gateway.files.limits = Limits(max_result=100_000)
        yield gateway


@pytest.fixture
def lease(served: ServedGateway) -> Iterator[Lease]:
    served.run(served.gateway.jobs.submit(new_job({})))
    (taken,) = served.run(served.gateway.jobs.take("worker", 1, 5))
    yield taken
    served.run(served.gateway.jobs.finish(taken.id, "worker", FAILURE))
    # So that the background's sweep takes nothing away in the middle of a later test.
    sweep(served)


def grant(served: ServedGateway, lease_id: str) -> UploadGrant:
    return served.gateway.files.grant(lease_id, served.url)


def put(
    served: ServedGateway, lease_id: str, data: bytes, name: str = "0.png", token: str | None = None
) -> httpx2.Response:
    given = grant(served, lease_id)
    headers = {"authorization": f"Bearer {given.token if token is None else token}", "content-type": "image/png"}
    return httpx2.put(given.url.replace("{file_name}", name), content=data, headers=headers)


def blobs(served: ServedGateway) -> int:
    root = served.gateway.settings.data / "files"
    return sum(1 for folder in ("blobs", "incoming") for _ in (root / folder).iterdir())


def sweep(served: ServedGateway) -> None:
    served.run(Sweep(served.gateway.files, served.gateway.jobs).once())


def test_the_answer_says_where_the_picture_is_read(served: ServedGateway, lease: Lease) -> None:
    answer = put(served, lease.id, picture())
    assert answer.status_code == 200
    assert answer.json()["url"].startswith(f"{served.url}/files/")
    assert httpx2.get(answer.json()["url"]).content == picture()


def test_a_picture_sent_again_keeps_its_address(served: ServedGateway, lease: Lease) -> None:
    first, second = put(served, lease.id, picture()), put(served, lease.id, picture(color="blue"))
    assert first.json() == second.json()
    assert httpx2.get(second.json()["url"]).content == picture(color="blue")


def test_a_wrong_token_opens_nothing(served: ServedGateway, lease: Lease) -> None:
    before = blobs(served)
    for token in ("x", grant(served, f"{lease.job.id}-a2").token, grant(served, lease.id).token.upper()):
        assert put(served, lease.id, picture(), token=token).status_code == 401
    assert blobs(served) == before


def test_a_lease_that_is_over_takes_nothing(served: ServedGateway, lease: Lease) -> None:
    earlier = f"{lease.job.id}-a0"
    assert put(served, earlier, picture()).status_code == 404
    assert put(served, "nothing-a1", picture()).status_code == 404
    served.run(served.gateway.jobs.finish(lease.id, "worker", FAILURE))
    assert put(served, lease.id, picture()).status_code == 404


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"GIF89a", b"PK\3\4", b"\x89PN"])
def test_only_pictures_are_taken(served: ServedGateway, lease: Lease, data: bytes) -> None:
    before = blobs(served)
    assert put(served, lease.id, data).status_code == 400
    assert blobs(served) == before


def test_a_picture_too_large_leaves_nothing(served: ServedGateway, lease: Lease) -> None:
    before = blobs(served)
    assert put(served, lease.id, picture() + bytes(100_000)).status_code == 413
    assert blobs(served) == before


def test_a_worker_that_breaks_off_leaves_nothing(served: ServedGateway, lease: Lease) -> None:
    before, given = blobs(served), grant(served, lease.id)
    path = given.url.removeprefix(served.url).replace("{file_name}", "0.png")
    bearer = f"Authorization: Bearer {given.token}"
    lines = f"PUT {path} HTTP/1.1", "Host: 127.0.0.1", bearer, "Content-Length: 90000", "", ""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall("\r\n".join(lines).encode() + picture())
        wait_for(lambda: blobs(served) == before + 1, 60, "the beginning of the picture")
    wait_for(lambda: blobs(served) == before, 60, "its removal")


def test_names_are_made_safe(served: ServedGateway, lease: Lease) -> None:
    url = put(served, lease.id, picture(), name="%2e%2e%5cx<y>.png").json()["url"]
    assert url.endswith("/x_y_.png")


def test_a_completed_job_keeps_its_pictures_for_their_time(served: ServedGateway) -> None:
    served.run(served.gateway.jobs.submit(new_job({}, file_ttl_s=1000)))
    (lease,) = served.run(served.gateway.jobs.take("worker", 1, 5))
    url = put(served, lease.id, picture()).json()["url"]
    assert served.run(served.gateway.jobs.finish(lease.id, "worker", {"images": [{"url": url}]}))
    sweep(served)
    file = served.run(served.gateway.files.resolve(url))
    job = served.run(served.gateway.jobs.get(lease.job.id))
    assert file.expires_at == job.ended_at + 1000
    assert file.lease_id is None
    assert served.run(served.gateway.jobs.delete(job.id))
    sweep(served)
    assert httpx2.get(url).content == picture()


@pytest.mark.parametrize("end", ["failed", "cancelled", "lost"])
def test_an_attempt_that_led_to_nothing_keeps_no_pictures(served: ServedGateway, end: str) -> None:
    jobs = served.gateway.jobs
    job = served.run(jobs.submit(new_job({})))
    (lease,) = served.run(jobs.take("worker", 1, 5))
    url = put(served, lease.id, picture()).json()["url"]
    kept = []
    if end == "failed":
        served.run(jobs.finish(lease.id, "worker", FAILURE))
    elif end == "cancelled":
        served.run(jobs.cancel(job.id))
    else:
        served.run(jobs.lose("worker"))
        (second,) = served.run(jobs.take("other", 1, 5))
        kept = [put(served, second.id, picture()).json()["url"]]
        served.run(jobs.finish(second.id, "other", {"images": [{"url": kept[0]}]}))
    sweep(served)
    assert httpx2.get(url).status_code == 404
    assert [httpx2.get(again).status_code for again in kept] == [200] * len(kept)
