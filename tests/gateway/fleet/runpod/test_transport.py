"""Pictures on their way to the endpoint and back: inside the job while they are small, by reference to and from a
public gateway, and in the end always among our own files."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.jobs.model import Job
from tests.gateway.fleet.runpod.conftest import Fronted, fronting
from tests.support.gateway import until
from tests.support.runpod_endpoint import RunpodStub

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
PUBLIC = "https://gateway.example/base"


def data_uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def get(url: str) -> httpx2.Response:
    return httpx2.get(url, trust_env=False)


def ended_with(fronted: Fronted, job: Job, images: list[Any]) -> Job:
    remote = fronted.arrived()
    fronted.stub.show(remote, "COMPLETED", output={"images": images})
    return fronted.ended(job)


def upload(fronted: Fronted, content: bytes = PNG) -> str:
    files = fronted.served.gateway.files
    return files.url(fronted.served.run(files.add(content, name="a.png", owner="local")), fronted.served.url)


@pytest.fixture(scope="module")
def public_one(tmp_path_factory: pytest.TempPathFactory, stub: RunpodStub) -> Iterator[Fronted]:
    with fronting(tmp_path_factory.mktemp("public") / "data", stub, public_url=PUBLIC) as running:
        yield running


@pytest.fixture
def public(public_one: Fronted, stub: RunpodStub) -> Fronted:
    """A gateway that is known by a public URL."""
    stub.reset()
    return public_one


def reread(url: str, fronted: Fronted) -> httpx2.Response:
    """What a public address of the gateway leads to."""
    assert url.startswith(f"{PUBLIC}/files/")
    return get(url.replace(PUBLIC, fronted.served.url))


def test_pictures_go_inside_the_job(fronted: Fronted) -> None:
    large = data_uri(PNG + bytes(100_000))
    job = fronted.submit({"image_url": upload(fronted), "mask_url": large, "seed": 7})
    assert fronted.arrived().body["input"] == {"image_url": data_uri(PNG), "mask_url": large, "seed": 7}
    assert fronted.arrived().body.keys() == {"input", "policy"}
    ended_with(fronted, job, [])


def test_too_many_for_the_platform_fail_the_job_by_name(fronted: Fronted) -> None:
    large = data_uri(PNG + bytes(4_000_000))
    prompts = [{"image_url": large}, {"image_url": data_uri(PNG + bytes(4_100_000))}]
    ended = fronted.ended(fronted.submit({"prompt": "x", "image_prompts": prompts}))
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.status) == ("file_too_large", 422)
    assert ended.failure.detail[0]["loc"] == ["body", "image_prompts", 1, "image_url"]
    assert "10000000 bytes" in ended.failure.message
    assert len(str(ended.failure)) < 2000
    assert not fronted.stub.of("run")


def test_a_public_gateway_is_asked_for_them(public: Fronted) -> None:
    """Private copies of what came inside a request live as long as the job."""
    own, elsewhere = upload(public), "https://pictures.example/b.png"
    large = PNG + bytes(10_500_000)
    input = {"image_url": own, "mask_url": data_uri(large), "loras": [{"path": elsewhere}]}
    job = public.submit(input)
    sent = public.arrived().body["input"]
    assert sent["loras"] == [{"path": elsewhere}]
    assert reread(sent["image_url"], public).content == PNG
    assert reread(sent["mask_url"], public).content == large
    ended_with(public, job, [])
    until(lambda: reread(sent["mask_url"], public).status_code == 404, 10)
    assert reread(sent["image_url"], public).status_code == 200


def test_a_public_gateway_takes_results(public: Fronted) -> None:
    job = public.submit()
    body = public.arrived().body
    assert body["uploadUrl"].startswith(f"{PUBLIC}/files/leases/{job.id}-a1/")
    address = body["uploadUrl"].replace(PUBLIC, public.served.url).replace("{file_name}", "0.png")
    headers = {"Authorization": f"Bearer {body['uploadToken']}"}
    stored = httpx2.put(address, content=PNG, headers=headers, trust_env=False).json()["url"]
    ended = ended_with(public, job, [{"url": stored, "file_name": "0.png"}])
    assert ended.output == {"images": [{"url": stored, "file_name": "0.png"}]}
    assert reread(stored, public).content == PNG


def test_an_endpoint_that_takes_no_other_keys_gets_none(tmp_path: Path, stub: RunpodStub) -> None:
    stub.reset()
    stub.only = {"policy"}
    with fronting(tmp_path / "data", stub, public_url=PUBLIC) as fronted:
        for number in (1, 2):
            job = fronted.submit()
            assert fronted.arrived(number).body.keys() == {"input", "policy"}
            ended_with(fronted, job, [])
    assert len(stub.of("run")) == 3


@pytest.mark.parametrize("address", [
    "http://10.0.0.5", "http://[fd00::1]:80", "http://localhost",
    "http://1.1.1.1:8888", "http://[2606:4700::1111]:8888", "https://gateway.example:8443/base",
])  # fmt: skip
def test_an_address_that_workers_cannot_read_is_not_public(address: str, tmp_path: Path, stub: RunpodStub) -> None:
    stub.reset()
    with fronting(tmp_path / "data", stub, public_url=address) as near:
        job = near.submit({"image_url": upload(near)})
        assert near.arrived().body["input"] == {"image_url": data_uri(PNG)}
        assert "uploadUrl" not in near.arrived().body
        ended_with(near, job, [])


@pytest.mark.parametrize("address", ["http://1.1.1.1:80", "http://[2606:4700::1111]", "https://gateway.example:443"])
def test_an_address_at_a_usual_port_is(address: str, tmp_path: Path, stub: RunpodStub) -> None:
    stub.reset()
    with fronting(tmp_path / "data", stub, public_url=address) as far:
        job = far.submit({"image_url": upload(far)})
        assert far.arrived().body["input"]["image_url"].startswith(f"{address}/files/")
        assert far.arrived().body["uploadUrl"].startswith(f"{address}/files/leases/")
        ended_with(far, job, [])


def test_a_lent_picture_can_be_read_for_as_long_as_its_job_may_wait(public: Fronted) -> None:
    """The platform holds a job for a day before it starts."""
    job = public.submit({"image_url": data_uri(PNG + bytes(100_000))})
    url = public.arrived().body["input"]["image_url"].replace(PUBLIC, public.served.url)
    lent = public.served.run(public.served.gateway.files.resolve(url))
    assert lent is not None
    assert lent.expires_at is not None
    assert lent.expires_at > time.time() + 24 * 3600 + job.execution_timeout_s
    ended_with(public, job, [])


def stored(fronted: Fronted, job: Job, index: int = 0) -> bytes:
    """The content of a picture of ours."""
    assert job.output is not None, job.failure
    url = job.output["images"][index]["url"]
    file = fronted.served.run(fronted.served.gateway.files.resolve(url))
    assert file is not None, url
    assert (file.owner, file.job_id) == ("local", job.id)
    return get(url).content


def test_inline_pictures_become_files(fronted: Fronted) -> None:
    other = PNG + b"x"
    images = [{"url": data_uri(PNG), "file_name": "../a.png"}, {"url": data_uri(other), "file_name": "a.png"}]
    ended = ended_with(fronted, fronted.submit(), images)
    assert (stored(fronted, ended), stored(fronted, ended, 1)) == (PNG, other)


def test_pictures_in_the_endpoints_storage_become_files(fronted: Fronted) -> None:
    fronted.stub.bucket["0.png"] = PNG
    url = f"{fronted.stub.url}/bucket/0.png?X-Amz-Signature=abc"
    ended = ended_with(fronted, fronted.submit(), [{"url": url, "file_name": "0.png", "width": 1}])
    assert stored(fronted, ended) == PNG
    assert ended.output is not None
    assert ended.output["images"][0]["width"] == 1
    assert "Signature" not in str(ended.output)


def test_what_cannot_be_fetched_stays_where_it_is(fronted: Fronted) -> None:
    """Not there; no picture; at a private address that is not the endpoint's own; at one that leads there."""
    fronted.stub.bucket["page.html"] = b"<html>"
    port = int(fronted.served.url.rpartition(":")[2])
    urls = [
        f"{fronted.stub.url}/bucket/none.png",
        f"{fronted.stub.url}/bucket/page.html",
        f"http://127.0.0.1:{port}/healthz",
        f"http://localhost:{fronted.stub.url.rpartition(':')[2]}/bucket/page.html",
        "ftp://files.example/0.png",
    ]
    images = [{"url": url} for url in urls]
    ended = ended_with(fronted, fronted.submit(), images)
    assert ended.output == {"images": images}


@pytest.mark.parametrize("url", ["data:image/png;base64,###", "data:text/html;base64,PGh0bWw+"])
def test_an_inline_picture_that_is_none_fails_the_job(fronted: Fronted, url: str) -> None:
    ended = ended_with(fronted, fronted.submit(), [{"url": url}])
    assert ended.failure is not None
    assert ended.failure.code == "downstream_service_unavailable"


def test_who_wants_pictures_inline_gets_them(fronted: Fronted) -> None:
    images = [{"url": data_uri(PNG)}]
    ended = ended_with(fronted, fronted.submit({"prompt": "x", "sync_mode": True}), images)
    assert ended.output == {"images": images}
