"""`s3Config`: strict, every complaint names its field, no complaint repeats a value."""

from __future__ import annotations

import json

import pytest

from handler.storage.job_config import parse_s3_config
from handler.storage.target import S3Target
from schemas.errors import InvalidInput

SECRET = "canary-Secret/+="
GOOD = {
    "accessId": "canary-Id",
    "accessSecret": SECRET,
    "bucketName": "pictures",
    "endpointUrl": "https://192.0.78.9",
}
PUBLIC = "192.0.78.9"


def complaint(value: object, allow_private: bool = False) -> list[dict]:
    with pytest.raises(InvalidInput) as refusal:
        parse_s3_config(value, allow_private=allow_private)
    details = refusal.value.details
    assert "canary" not in json.dumps(details)
    assert "canary" not in str(refusal.value)
    assert refusal.value.status == 422
    return details


def test_the_object_of_runpods_clients_is_understood():
    assert parse_s3_config(GOOD, allow_private=False) == S3Target(
        f"https://{PUBLIC}", "canary-Id", SECRET, "pictures", from_job=True
    )


def test_path_and_region_are_optional():
    more = {**GOOD, "objectPath": "/tenants/a/", "region": "eu-west-1"}
    target = parse_s3_config(more, allow_private=False)
    assert (target.prefix, target.region) == ("tenants/a", "eu-west-1")
    absent = parse_s3_config({**GOOD, "objectPath": None, "region": None}, allow_private=False)
    assert (absent.prefix, absent.region) == ("", None)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("accessId", ""),
        ("accessId", 7),
        ("accessId", "two words"),
        ("accessSecret", None),
        ("accessSecret", "line\nbreak"),
        ("accessSecret", ["canary"]),
        ("bucketName", "../canary"),
        ("bucketName", "x"),
        ("endpointUrl", 443),
        ("endpointUrl", "canary.example.com"),
        ("endpointUrl", "https://canary:canary@192.0.78.9"),
        ("endpointUrl", "https://192.0.78.9/canary"),
        ("endpointUrl", "https://192.0.78.9?canary"),
        ("endpointUrl", "x" * 2000),
        ("objectPath", "../canary"),
        ("objectPath", 3),
        ("region", "canary region"),
        ("webhook", "canary"),
    ],
)
def test_one_wrong_field_is_named(field, value):
    details = complaint({**GOOD, field: value})
    assert [detail["loc"] for detail in details] == [["s3Config", field]]
    assert all("input" not in detail for detail in details)


@pytest.mark.parametrize("field", list(GOOD))
def test_a_missing_field_is_named(field):
    details = complaint({name: value for name, value in GOOD.items() if name != field})
    assert [(detail["loc"], detail["type"]) for detail in details] == [(["s3Config", field], "missing")]


@pytest.mark.parametrize("value", ["canary", 7, [], True, [GOOD]])
def test_what_is_no_object_is_refused(value):
    assert complaint(value)[0]["loc"] == ["s3Config"]


def test_all_wrong_fields_are_named_at_once():
    locs = [detail["loc"][1] for detail in complaint({**GOOD, "accessId": 1, "bucketName": "", "webhook": 1})]
    assert sorted(locs) == ["accessId", "bucketName", "webhook"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "10.0.0.1:9000", "192.168.1.1", "172.16.0.1", "[::1]", "[fc00::1]", "169.254.169.254",
        "100.64.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "no-such-host.invalid", "2130706433", "0x7f.1",
    ],
)  # fmt: skip
def test_an_endpoint_that_is_not_public_is_refused_in_the_same_words(host):
    details = complaint({**GOOD, "endpointUrl": f"http://{host}"})
    assert details[0]["loc"] == ["s3Config", "endpointUrl"]
    if host not in ("2130706433", "0x7f.1"):
        assert details[0]["msg"] == "This must be the http or https URL of a public host"


def test_private_endpoints_need_the_operators_leave():
    target = parse_s3_config({**GOOD, "endpointUrl": "http://127.0.0.1:9000"}, allow_private=True)
    assert target.endpoint_url == "http://127.0.0.1:9000"
    complaint({**GOOD, "endpointUrl": "http://169.254.169.254"}, allow_private=True)


def test_a_bucket_in_the_host_must_be_the_same():
    details = complaint({**GOOD, "endpointUrl": "https://others.s3.us-east-1.amazonaws.com"})
    assert details[0]["loc"] == ["s3Config", "endpointUrl"]
    assert "another bucket" in details[0]["msg"]
