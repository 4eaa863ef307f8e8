"""Which of several possible places wins, proven by where the bytes are."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from handler.storage.choose import check_storage, choose_store
from handler.storage.settings import StorageSettings
from schemas.errors import InvalidInput, StorageUnavailable
from tests.support.s3 import Bucket

from .test_upload_url import TOKEN, files

PICTURE = b"picture" * 1000


def s3_config(bucket: Bucket) -> dict[str, Any]:
    return {
        "accessId": bucket.server.access_key,
        "accessSecret": bucket.server.secret,
        "bucketName": bucket.name,
        "endpointUrl": bucket.server.endpoint,
        "objectPath": "mine",
    }


@pytest.fixture
def configured(new_bucket: Callable[[], Bucket], monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A second bucket, which the environment names."""
    bucket = new_bucket()
    monkeypatch.setenv("BUCKET_ENDPOINT_URL", bucket.server.endpoint)
    monkeypatch.setenv("BUCKET_ACCESS_KEY_ID", bucket.server.access_key)
    monkeypatch.setenv("BUCKET_SECRET_ACCESS_KEY", bucket.server.secret)
    monkeypatch.setenv("BUCKET_NAME", bucket.name)
    return bucket


def put(job: dict[str, Any], **how: bool) -> str:
    store = choose_store({"id": "job-1", **job}, StorageSettings(), **{"allow_private": True, **how})
    return store.put("a-0.png", PICTURE, "image/png")


def test_the_jobs_bucket_wins_over_everything(bucket: Bucket, configured: Bucket):
    with files() as gateway:
        put({"s3Config": s3_config(bucket), "uploadUrl": f"{gateway.origin}/{{file_name}}", "uploadToken": TOKEN})
        assert gateway.requests == 0
    assert bucket.keys() == ["mine/job-1/a-0.png"]
    assert configured.keys() == []


def test_the_configured_bucket_wins_over_the_upload_url(configured: Bucket):
    with files() as gateway:
        put({"s3Config": None, "uploadUrl": f"{gateway.origin}/{{file_name}}", "uploadToken": TOKEN})
        assert gateway.requests == 0
    assert configured.keys() == ["job-1/a-0.png"]


def test_the_configured_bucket_may_be_private_when_a_jobs_may_not(configured: Bucket):
    put({}, allow_private=False)
    assert configured.keys() == ["job-1/a-0.png"]


def test_the_upload_url_wins_over_the_result_and_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FOOOCUS_OUTPUTS_DIR", str(tmp_path / "outputs"))
    with files() as gateway:
        job = {"uploadUrl": f"{gateway.origin}/{{file_name}}", "uploadToken": TOKEN}
        assert put(job, on_platform=False) == f"{gateway.origin}/a-0.png"
    assert list(tmp_path.iterdir()) == []


def test_without_storage_a_platform_gets_data_and_a_command_line_files(tmp_path, monkeypatch):
    monkeypatch.setenv("FOOOCUS_OUTPUTS_DIR", str(tmp_path / "outputs"))
    header, _, data = put({}, on_platform=True).partition(",")
    assert header == "data:image/png;base64"
    assert base64.b64decode(data, validate=True) == PICTURE
    assert list(tmp_path.iterdir()) == []
    assert urlsplit(put({}, on_platform=False)).path == str(tmp_path / "outputs" / "job-1" / "a-0.png")


def test_inline_is_inline_whatever_else_there_is(bucket: Bucket, configured: Bucket):
    assert put({"s3Config": s3_config(bucket)}, inline=True).startswith("data:image/png;base64,")
    assert bucket.keys() == configured.keys() == []


def test_job_storage_can_be_switched_off(bucket: Bucket, configured: Bucket):
    put({"s3Config": s3_config(bucket)}, allow_job_storage=False)
    assert (bucket.keys(), configured.keys()) == ([], ["job-1/a-0.png"])


def test_a_wrong_s3_config_is_an_error_and_no_reason_to_use_another_place(configured: Bucket):
    with pytest.raises(InvalidInput) as refusal:
        put({"s3Config": {"bucketName": "pictures"}})
    assert [detail["loc"] for detail in refusal.value.details] == [
        ["s3Config", "accessId"],
        ["s3Config", "accessSecret"],
        ["s3Config", "endpointUrl"],
    ]
    assert configured.keys() == []


def test_a_private_endpoint_of_a_job_is_refused_before_anything_is_sent(bucket: Bucket):
    with pytest.raises(InvalidInput, match=r"s3Config\.endpointUrl"):
        put({"s3Config": s3_config(bucket)}, allow_private=False)
    assert bucket.keys() == []


def test_the_check_at_start_passes_fails_with_words_or_has_nothing_to_do(configured: Bucket, monkeypatch):
    check_storage(StorageSettings())
    monkeypatch.setenv("BUCKET_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(StorageUnavailable, match=f"bucket {configured.name} at .* refuses these credentials"):
        check_storage(StorageSettings())
    for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "NAME"):
        monkeypatch.delenv(f"BUCKET_{name}")
    check_storage(StorageSettings())
