"""Pictures go to a bucket or an upload URL and only their links go through the queue; a dead place fails the job."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator

import pytest
import requests
from PIL import Image

from tests.e2e.file_store import TOKEN, FileStore
from tests.e2e.jobs import ERROR_LINE, Fields, small
from tests.support.client import Client, Record
from tests.support.platform import Platform, serving
from tests.support.s3 import Bucket
from tests.support.worker import WorkerProcess, running


@pytest.fixture(scope="module")
def configured_bucket(new_bucket: Callable[[], Bucket]) -> Bucket:
    return new_bucket()


@pytest.fixture(scope="module")
def bucket_platform() -> Iterator[Platform]:
    with serving(Platform()) as platform:
        yield platform


@pytest.fixture(scope="module")
def bucket_client(
    bucket_platform: Platform, configured_bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """Of a worker with a bucket of its own, whose jobs may name buckets at private addresses."""
    environment = {
        "BUCKET_ENDPOINT_URL": configured_bucket.server.endpoint,
        "BUCKET_ACCESS_KEY_ID": configured_bucket.server.access_key,
        "BUCKET_SECRET_ACCESS_KEY": configured_bucket.server.secret,
        "BUCKET_NAME": configured_bucket.name,
        "BUCKET_PREFIX": "made/here",
        "FOOOCUS_ALLOW_PRIVATE_URLS": "true",
        "FOOOCUS_UPLOAD_SECONDS": "4",
    }
    home = tmp_path_factory.mktemp("bucket-worker")
    with running(WorkerProcess(bucket_platform, home, "bucket", environment=environment)):
        yield Client(bucket_platform)


def stored(**fields: object) -> Fields:
    return small(2, sync_mode=False, **fields)


def s3_config(bucket: Bucket, **changes: str) -> dict[str, str]:
    plain = {
        "accessId": bucket.server.access_key,
        "accessSecret": bucket.server.secret,
        "bucketName": bucket.name,
        "endpointUrl": bucket.server.endpoint,
    }
    return {**plain, **changes}


def check_link(image: Record, image_format: str) -> None:
    """GET the link as any client would; the picture is the one described."""
    response = requests.get(image["url"], timeout=60)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == image["content_type"] == f"image/{image_format.lower()}"
    assert len(response.content) == image["file_size"]
    with Image.open(io.BytesIO(response.content)) as decoded:
        assert (decoded.format, decoded.size) == (image_format, (image["width"], image["height"]))


def test_pictures_go_to_the_configured_bucket_under_the_jobs_id(
    bucket_client: Client, configured_bucket: Bucket, bucket_platform: Platform
) -> None:
    record = bucket_client.done(stored(num_images=2, output_format="jpeg"))
    assert record["status"] == "COMPLETED", record.get("error")
    images = record["output"]["images"]
    for image in images:
        check_link(image, "JPEG")
        bare = image["url"].partition("?")[0]
        assert not requests.get(bare, timeout=60).ok, "The bucket is open to anyone."
    keys = {f"made/here/{record['id']}/{image['file_name']}" for image in images}
    assert keys <= set(configured_bucket.keys())
    [post] = bucket_platform.seen("job-done", "bucket", record["id"])
    assert len(post.text) < 5_000, "A picture went through the queue."


def test_the_jobs_own_bucket_goes_before_the_configured_one(
    bucket_client: Client, configured_bucket: Bucket, bucket: Bucket
) -> None:
    record = bucket_client.done(stored(), s3Config=s3_config(bucket, objectPath="mine"))
    [image] = record["output"]["images"]
    check_link(image, "PNG")
    assert bucket.keys() == [f"mine/{record['id']}/{image['file_name']}"]
    elsewhere = configured_bucket.keys()
    assert not [key for key in elsewhere if record["id"] in key]


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"accessSecret": "wrong"}, "s3Config"), ({"bucketName": "not-there"}, "s3Config.bucketName")],
    ids=["credentials", "bucket"],
)
def test_a_job_with_a_wrong_bucket_is_told_which_field(
    bucket_client: Client, bucket: Bucket, changes: dict[str, str], field: str
) -> None:
    record = bucket_client.done(stored(), s3Config=s3_config(bucket, **changes))
    assert record["status"] == "FAILED"
    assert record["output"]["status"] == 422
    assert f"{field}: " in record["error"]
    assert bucket.server.secret not in str(record)
    assert bucket.keys() == []


def test_a_dead_bucket_fails_the_job_after_bounded_tries(
    bucket_client: Client, bucket: Bucket, bucket_platform: Platform
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        record = bucket_client.done(stored(), s3Config=s3_config(bucket, endpointUrl=endpoint))
    assert record["status"] == "FAILED"
    assert record["error"].startswith("DOWNSTREAM_SERVICE_UNAVAILABLE: ")
    assert record["output"]["retryable"] is True
    assert record["executionTime"] < 25_000
    progress = bucket_platform.jobs.by_id[record["id"]].progress
    assert [body["progress"] for body in progress].count(1.0) <= 1, "It was rendered again."
    assert bucket_client.done(stored())["status"] == "COMPLETED"


def test_pictures_go_to_the_upload_url_with_its_token(client: Client, file_store: FileStore) -> None:
    file_store.refuse = [503]
    record = client.done(stored(num_images=2), uploadUrl=file_store.upload_url("one"), uploadToken=TOKEN)
    assert record["status"] == "COMPLETED", record.get("error")
    for image in record["output"]["images"]:
        assert image["url"] == f"{file_store.origin}/files/one/{image['file_name']}"
        check_link(image, "PNG")


def test_a_refused_upload_fails_the_job(client: Client, worker: WorkerProcess, file_store: FileStore) -> None:
    before = file_store.puts
    record = client.done(stored(), uploadUrl=file_store.upload_url("two"), uploadToken="wrong")
    assert record["status"] == "FAILED"
    assert ERROR_LINE.fullmatch(record["error"])
    assert record["error"].startswith("DOWNSTREAM_SERVICE_UNAVAILABLE: ")
    assert "wrong" not in str(record)
    assert file_store.puts == before + 1, "A refusal is not worth trying again."
    assert not [path for path in file_store.files if path.startswith("/files/two")]
