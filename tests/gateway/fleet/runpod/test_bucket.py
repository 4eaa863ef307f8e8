"""Pictures by a bucket of the gateway's: links to copies of a request's, `s3Config` for those that are made, and an
empty bucket however the job ended. The bucket is a real server's; what a worker would put there its own code puts."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.fleet.runpod.bucket import sweep
from gateway.fleet.runpod.bucket.bucket import Bucket as GatewaysBucket
from gateway.fleet.runpod.bucket.place import Place
from gateway.jobs.model import Job, State
from handler.storage.choose import choose_store
from handler.storage.settings import StorageSettings
from tests.gateway.fleet.runpod.conftest import Fronted, fronting
from tests.gateway.fleet.runpod.test_faults import readyz
from tests.gateway.fleet.runpod.test_transport import PNG, data_uri, ended_with, stored, upload
from tests.support.gateway import until
from tests.support.runpod_endpoint import ENDPOINT, RunpodStub, StubJob
from tests.support.s3 import Bucket

OUTPUT = {"images": [], "seeds": ["7"]}
OWN = {"accessId": "a", "accessSecret": "b", "bucketName": "c", "endpointUrl": "https://s3.example"}


def settings_of(bucket: Bucket, **changes: Any) -> dict[str, Any]:
    plain = {
        "bucket_endpoint_url": bucket.server.endpoint,
        "bucket_access_key_id": bucket.server.access_key,
        "bucket_secret_access_key": bucket.server.secret,
        "bucket_name": bucket.name,
        "bucket_prefix": "travel/here",
    }
    return {**plain, **changes}


@pytest.fixture(scope="module")
def travel(new_bucket: Callable[[], Bucket]) -> Bucket:
    return new_bucket()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory, stub: RunpodStub, travel: Bucket) -> Iterator[Fronted]:
    with fronting(tmp_path_factory.mktemp("bucket") / "data", stub, **settings_of(travel)) as running:
        yield running


@pytest.fixture
def by_bucket(one: Fronted, stub: RunpodStub, travel: Bucket) -> Iterator[Fronted]:
    """A gateway with a bucket, which is empty after each test."""
    stub.reset()
    until(one.served.gateway.fleet.workers.warm, 20)
    yield one
    until(lambda: not travel.keys(), 20)


def made(remote: StubJob, content: bytes = PNG, name: str = "0.png") -> str:
    """What the worker does with a picture: its URL."""
    store = choose_store({"id": remote.id, **remote.body}, StorageSettings(), allow_private=True)
    return store.put(name, content, "image/png")


def get(url: str) -> bytes:
    answer = httpx2.get(url, trust_env=False)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_pictures_of_a_request_go_as_links(by_bucket: Fronted, travel: Bucket) -> None:
    """However large, and files that are no pictures too; each once, and readable for as long as the job may wait."""
    large, weights = PNG + bytes(10_500_000), b"\x08" + bytes(200_000)
    files = by_bucket.served.gateway.files
    lora = by_bucket.served.run(files.add(weights, name="a.safetensors", owner="local"))
    own, elsewhere = upload(by_bucket), "https://pictures.example/b.png"
    input = {
        "image_url": own, "mask_url": data_uri(large), "image_prompts": [{"image_url": own}, {"image_url": elsewhere}],
        "loras": [{"path": files.url(lora, by_bucket.served.url)}],
    }  # fmt: skip
    job = by_bucket.submit(input)
    sent = by_bucket.arrived().body["input"]
    assert get(sent["mask_url"]) == large
    assert get(sent["loras"][0]["path"]) == weights
    assert "/a.safetensors?" in sent["loras"][0]["path"]
    assert get(sent["image_url"]) == PNG
    assert sent["image_prompts"] == [{"image_url": sent["image_url"]}, {"image_url": elsewhere}]
    assert len(travel.keys()) == 3
    assert all(key.startswith(f"travel/here/{job.id}-a1/in/") for key in travel.keys())  # noqa: SIM118
    life = httpx2.URL(sent["image_url"]).params["X-Amz-Expires"]
    assert int(life) > 24 * 3600 + job.execution_timeout_s
    ended_with(by_bucket, job, [])


def test_what_is_made_comes_home(by_bucket: Fronted, travel: Bucket) -> None:
    other = PNG + bytes(12_000_000)
    job = by_bucket.submit()
    remote = by_bucket.arrived()
    assert remote.body.keys() == {"input", "policy", "s3Config"}
    images = [{"url": made(remote)}, {"url": made(remote, other, "1.png"), "file_name": "1.png", "width": 1}]
    assert len(travel.keys()) == 2
    ended = ended_with(by_bucket, job, images)
    assert (stored(by_bucket, ended), stored(by_bucket, ended, 1)) == (PNG, other)
    assert travel.server.access_key not in str(ended)
    assert "Signature" not in str(ended.output)


@pytest.mark.parametrize("more", [{"extra": {"s3Config": OWN}}, {"input": {"prompt": "x", "sync_mode": True}}])
def test_who_wants_pictures_elsewhere_gets_no_key(by_bucket: Fronted, more: dict[str, Any]) -> None:
    job = by_bucket.submit(**more)
    remote = by_bucket.arrived()
    assert remote.body.get("s3Config") == more.get("extra", {}).get("s3Config")
    images = [{"url": "https://s3.example/c/0.png"}]
    assert ended_with(by_bucket, job, images).output == {"images": images}


def sent_with_picture(fronted: Fronted, count: int = 1) -> tuple[Job, StubJob]:
    job = fronted.submit({"image_url": upload(fronted)})
    return job, fronted.arrived(count)


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "CANCELLED"])
def test_nothing_stays_of_a_job_that_failed(by_bucket: Fronted, travel: Bucket, status: str) -> None:
    job, remote = sent_with_picture(by_bucket)
    made(remote)
    assert len(travel.keys()) == 2
    by_bucket.stub.show(remote, status, error="OUT_OF_MEMORY: small")
    assert by_bucket.ended(job).state is State.FAILED


def test_nothing_stays_of_an_attempt_that_was_lost(by_bucket: Fronted, travel: Bucket) -> None:
    """The next one has a folder of its own."""
    job, remote = sent_with_picture(by_bucket)
    first = made(remote)
    by_bucket.stub.show(remote, "COMPLETED")
    second = by_bucket.arrived(2)
    assert second.body["s3Config"]["objectPath"] != remote.body["s3Config"]["objectPath"]
    until(lambda: not [key for key in travel.keys() if "-a1/" in key], 10)  # noqa: SIM118
    assert get(second.body["input"]["image_url"]) == PNG
    assert first.partition("?")[0] != made(second).partition("?")[0]
    by_bucket.stub.show(second, "COMPLETED", output={"images": [{"url": made(second)}]})
    assert stored(by_bucket, by_bucket.ended(job)) == PNG


def test_nothing_stays_of_a_cancelled_job(
    by_bucket: Fronted, travel: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of what its worker puts there a moment later."""
    monkeypatch.setattr(sweep, "AGAIN_S", 0.5)
    monkeypatch.setattr(sweep, "EVERY_S", 0.2)
    job, remote = sent_with_picture(by_bucket)
    by_bucket.served.run(by_bucket.served.gateway.jobs.cancel(job.id))
    until(lambda: remote.shown["status"] == "CANCELLED", 10)
    until(lambda: not travel.keys(), 20)
    made(remote)
    assert travel.keys()


def test_a_picture_that_is_not_there_fails_the_job(by_bucket: Fronted, travel: Bucket) -> None:
    """A link into a bucket that is about to be emptied would be no use to anybody."""
    job = by_bucket.submit()
    url = made(by_bucket.arrived())
    travel.client.delete_object(Bucket=travel.name, Key=travel.keys()[0])
    ended = ended_with(by_bucket, job, [{"url": url}])
    assert ended.failure is not None
    assert (ended.failure.code, ended.failure.retryable) == ("downstream_service_unavailable", True)


def test_a_failure_shows_no_link(by_bucket: Fronted, travel: Bucket) -> None:
    job, remote = sent_with_picture(by_bucket)
    url = remote.body["input"]["image_url"]
    detail = [{"loc": ["body", "image_url"], "msg": "no picture", "type": "image_load_error", "input": url}]
    told = {"status": 422, "detail": detail}
    by_bucket.stub.show(remote, "FAILED", error=f"INVALID_INPUT: {url} is none", output=told)
    ended = by_bucket.ended(job)
    assert ended.failure is not None
    assert (ended.failure.message, ended.failure.detail[0]["loc"]) == ("… is none", ["body", "image_url"])
    assert travel.name not in str(ended.failure)


def test_a_bucket_the_worker_cannot_use_is_not_the_clients_fault(
    by_bucket: Fronted, caplog: pytest.LogCaptureFixture
) -> None:
    detail = [{"loc": ["s3Config", "endpointUrl"], "msg": "This must be public", "type": "value_error"}]
    job = by_bucket.submit()
    told = {"status": 422, "detail": detail}
    by_bucket.stub.show(by_bucket.arrived(), "FAILED", error="INVALID_INPUT: This must be public", output=told)
    ended = by_bucket.ended(job)
    assert ended.failure is not None
    assert (ended.failure.code, "s3Config" in str(ended.failure)) == ("downstream_service_unavailable", False)
    assert "cannot use the gateway's bucket: This must be public" in caplog.text


def test_a_restart_loses_and_leaves_nothing(tmp_path: Path, stub: RunpodStub, bucket: Bucket) -> None:
    stub.reset()
    with fronting(tmp_path / "data", stub, **settings_of(bucket)) as first:
        job, remote = sent_with_picture(first)
        until(lambda: stub.of("status"))
        url = made(remote)
    assert len(bucket.keys()) == 2
    with fronting(tmp_path / "data", stub, **settings_of(bucket)) as second:
        ended = ended_with(second, job, [{"url": url}])
        assert (stored(second, ended), ended.attempts) == (PNG, 1)
        until(lambda: not bucket.keys(), 20)


def test_what_a_killed_gateway_left_goes_at_the_next_start(tmp_path: Path, stub: RunpodStub, bucket: Bucket) -> None:
    """Killed while it was still putting pictures there: nothing else knows of the job."""
    stub.reset()
    with fronting(tmp_path / "data", stub, **settings_of(bucket)) as first:
        way = first.served.gateway.fleet.endpoint._way
        first.served.run(way._folders.open("gone-a1", 90_000))
    bucket.client.put_object(Bucket=bucket.name, Key="travel/here/gone-a1/in/0/a.png", Body=PNG)
    bucket.client.put_object(Bucket=bucket.name, Key="travel/here/gone-a10/in/0/a.png", Body=PNG)
    with fronting(tmp_path / "data", stub, **settings_of(bucket)):
        until(lambda: bucket.keys() == ["travel/here/gone-a10/in/0/a.png"], 20)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"bucket_secret_access_key": "not-the-secret"}, "refuses these credentials (PutObject)"),
        ({"bucket_name": "no-such-bucket"}, "does not exist (PutObject)"),
        ({"bucket_endpoint_url": "http://127.0.0.1:9"}, "does not answer"),
    ],
)
def test_a_bucket_that_cannot_be_used_is_told_and_jobs_wait(
    tmp_path: Path, stub: RunpodStub, bucket: Bucket, caplog: pytest.LogCaptureFixture,
    changes: dict[str, str], why: str,
) -> None:  # fmt: skip
    stub.reset()
    settings = settings_of(bucket, **changes)
    with caplog.at_level(logging.INFO), fronting(tmp_path / "data", stub, **settings) as fronted:
        job = fronted.submit()
        place = f"bucket {settings['bucket_name']} at {settings['bucket_endpoint_url'].removeprefix('http://')}"
        until(lambda: readyz(fronted)[1]["troubles"] == [f"runpod:{ENDPOINT}: {place} {why}"], 30)
        assert readyz(fronted)[0] == 503
        assert fronted.now(job).state is State.QUEUED
    assert f"No jobs go to the RunPod endpoint: {place} {why}" in caplog.text
    for secret in (bucket.server.secret, bucket.server.access_key, "not-the-secret"):
        assert secret not in caplog.text
    assert not stub.of("run")


def test_a_bucket_that_goes_away_is_waited_for(tmp_path: Path, stub: RunpodStub, bucket: Bucket) -> None:
    stub.reset()
    with fronting(tmp_path / "data", stub, **settings_of(bucket)) as fronted:
        until(fronted.served.gateway.fleet.workers.warm, 20)
        bucket.client.delete_bucket(Bucket=bucket.name)
        job = fronted.submit({"image_url": upload(fronted)})
        until(lambda: "does not exist (PutObject)" in str(readyz(fronted)[1]["troubles"]), 20)
        until(lambda: fronted.now(job).state is State.QUEUED, 10)
        bucket.client.create_bucket(Bucket=bucket.name)
        remote = fronted.arrived()
        assert get(remote.body["input"]["image_url"]) == PNG
        ended = ended_with(fronted, job, [{"url": made(remote)}])
        assert stored(fronted, ended) == PNG
        until(lambda: not bucket.keys(), 20)


def test_a_cancelled_upload_ends_before_its_caller_does(bucket: Bucket) -> None:
    """Else its object would appear after the folder was emptied."""
    reading, let_go = threading.Event(), threading.Event()

    class Pipe:
        """A file that stops after its first piece."""

        def __init__(self) -> None:
            self.at = 0

        def read(self, size: int = -1) -> bytes:
            if self.at:
                reading.set()
                let_go.wait(20)
            self.at = 1_000_000
            return bytes(1_000_000)

        def seek(self, offset: int, whence: int = 0) -> int:
            self.at = 3_000_000 if whence == 2 else offset
            return self.at

        def tell(self) -> int:
            return self.at

    server = bucket.server
    gateways = GatewaysBucket(Place(server.endpoint, server.access_key, server.secret, bucket.name))

    async def cancel() -> None:
        lending = asyncio.ensure_future(gateways.lend("a/b.png", Pipe(), "image/png", 60))  # type: ignore[arg-type]
        await asyncio.to_thread(reading.wait, 20)
        lending.cancel()
        await asyncio.sleep(0.1)
        assert not lending.done()
        let_go.set()
        with pytest.raises(asyncio.CancelledError):
            await lending

    asyncio.run(cancel())
    gateways.close()
    time.sleep(0.5)
    assert bucket.keys() == []


def test_a_file_that_cannot_be_read_is_not_the_buckets_fault(bucket: Bucket, tmp_path: Path) -> None:
    server = bucket.server
    gateways = GatewaysBucket(Place(server.endpoint, server.access_key, server.secret, bucket.name))
    path = tmp_path / "file"
    path.write_bytes(b"x")

    async def lend() -> None:
        with path.open("wb") as file, pytest.raises(OSError, match="read"):
            await gateways.lend("a/b.png", file, "image/png", 60)

    asyncio.run(lend())
    gateways.close()
