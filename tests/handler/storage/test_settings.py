"""Storage settings: RunPod's names, words for what is missing, no secret in any text."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from handler.storage.patience import Patience
from handler.storage.settings import StorageSettings
from schemas.bucket import WEEK_S

FULL = {
    "BUCKET_ENDPOINT_URL": "https://s3.eu-central-1.amazonaws.com",
    "BUCKET_ACCESS_KEY_ID": "canary-id",
    "BUCKET_SECRET_ACCESS_KEY": "canary-secret",
    "BUCKET_NAME": "pictures",
}


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> StorageSettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return StorageSettings()


def complaint(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    with pytest.raises(ValidationError) as refusal:
        settings(monkeypatch, **environment)
    assert "canary" not in str(refusal.value)
    return str(refusal.value)


def test_without_any_setting_there_is_no_bucket(monkeypatch):
    plain = settings(monkeypatch)
    assert plain.target() is None
    assert plain.patience() == Patience()
    assert str(plain.outputs_dir) == "outputs"


def test_runpods_names_and_ours_make_a_target(monkeypatch):
    more = {
        "BUCKET_REGION": "eu-west-3",
        "BUCKET_PREFIX": "/out/",
        "BUCKET_PRESIGN_SECONDS": "3600",
        "BUCKET_PUBLIC_URL": "https://cdn.example.com/p/",
        "FOOOCUS_UPLOAD_ATTEMPTS": "2",
        "FOOOCUS_UPLOAD_SECONDS": "7.5",
    }
    full = settings(monkeypatch, **FULL, **more)
    target = full.target()
    assert target is not None
    assert (target.endpoint_url, target.bucket_name) == ("https://s3.eu-central-1.amazonaws.com", "pictures")
    assert (target.access_key_id, target.secret_access_key) == ("canary-id", "canary-secret")
    assert (target.region, target.prefix, target.presign_s) == ("eu-west-3", "out", 3600)
    assert target.public_url == "https://cdn.example.com/p"
    assert not target.from_job
    assert (full.patience().attempts, full.patience().total_s) == (2, 7.5)


def test_empty_variables_count_as_unset(monkeypatch):
    assert settings(monkeypatch, **dict.fromkeys(FULL, "")).target() is None


@pytest.mark.parametrize("missing", ["BUCKET_ENDPOINT_URL", "BUCKET_ACCESS_KEY_ID", "BUCKET_SECRET_ACCESS_KEY"])
def test_half_a_bucket_is_refused_with_the_name_of_what_is_missing(monkeypatch, missing):
    text = complaint(monkeypatch, **{name: value for name, value in FULL.items() if name != missing})
    assert f"{missing} missing" in text


def test_a_bucket_in_the_endpoints_host_needs_no_name(monkeypatch):
    environment = {**FULL, "BUCKET_ENDPOINT_URL": "https://pictures.s3.eu-central-1.amazonaws.com", "BUCKET_NAME": ""}
    target = settings(monkeypatch, **environment).target()
    assert target is not None
    assert (target.endpoint_url, target.bucket_name) == ("https://s3.eu-central-1.amazonaws.com", "pictures")


def test_no_bucket_at_all_is_refused_with_words(monkeypatch):
    assert "BUCKET_NAME is missing" in complaint(monkeypatch, **{**FULL, "BUCKET_NAME": ""})


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BUCKET_ENDPOINT_URL", "https://canary@s3.example.com", "BUCKET_ENDPOINT_URL must be an http or https URL"),
        ("BUCKET_ENDPOINT_URL", "https://s3.example.com/canary", "BUCKET_ENDPOINT_URL must have nothing after"),
        ("BUCKET_ENDPOINT_URL", "https://canary.s3.us-east-1.amazonaws.com", "must not have another bucket"),
        ("BUCKET_NAME", "canary/x", "bucket_name"),
        ("BUCKET_REGION", "canary 1", "bucket_region"),
        ("BUCKET_PREFIX", "a/../canary", "bucket_prefix"),
        ("BUCKET_PRESIGN_SECONDS", str(WEEK_S + 1), "bucket_presign_seconds"),
        ("BUCKET_PRESIGN_SECONDS", "0", "bucket_presign_seconds"),
        ("BUCKET_PUBLIC_URL", "canary", "bucket_public_url"),
        ("FOOOCUS_UPLOAD_ORIGIN", "canary:8000", "FOOOCUS_UPLOAD_ORIGIN"),
        ("FOOOCUS_UPLOAD_ATTEMPTS", "0", "FOOOCUS_UPLOAD_ATTEMPTS"),
        ("FOOOCUS_UPLOAD_SECONDS", "nan", "FOOOCUS_UPLOAD_SECONDS"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch, name, value, words):
    assert words in complaint(monkeypatch, **{**FULL, name: value})


def test_secrets_stay_out_of_texts(monkeypatch):
    full = settings(monkeypatch, **FULL)
    assert "canary" not in repr(full) + str(full) + repr(full.target()) + full.model_dump_json()


def test_every_setting_is_described():
    assert all(field.description for field in StorageSettings.model_fields.values())
