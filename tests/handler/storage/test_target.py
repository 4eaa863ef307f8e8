"""Endpoints as providers write them: where the bucket and the region are read from, and what is refused."""

from __future__ import annotations

import pytest

from handler.storage.target import S3Target, guess_region, split_endpoint
from schemas.bucket import check_bucket, check_prefix

R2 = "0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"


@pytest.mark.parametrize(
    ("url", "endpoint", "bucket"),
    [
        ("https://pictures.s3.us-west-2.amazonaws.com", "https://s3.us-west-2.amazonaws.com", "pictures"),
        ("https://pictures.s3.us-west-2.amazonaws.com/", "https://s3.us-west-2.amazonaws.com", "pictures"),
        (
            "https://a.dotted.name.s3.eu-central-1.amazonaws.com",
            "https://s3.eu-central-1.amazonaws.com",
            "a.dotted.name",
        ),
        ("https://pictures.s3.amazonaws.com", "https://s3.amazonaws.com", "pictures"),
        ("https://pictures.nyc3.digitaloceanspaces.com", "https://nyc3.digitaloceanspaces.com", "pictures"),
        ("https://pictures.s3.us-west-004.backblazeb2.com", "https://s3.us-west-004.backblazeb2.com", "pictures"),
        (f"https://pictures.{R2}", f"https://{R2}", "pictures"),
        ("https://s3.us-west-2.amazonaws.com", "https://s3.us-west-2.amazonaws.com", None),
        ("https://s3.amazonaws.com:443", "https://s3.amazonaws.com", None),
        (f"https://{R2}", f"https://{R2}", None),
        ("https://storage.googleapis.com", "https://storage.googleapis.com", None),
        ("http://MinIO.example.com:9000/", "http://minio.example.com:9000", None),
        ("http://[0:0::1]:9000", "http://[::1]:9000", None),
    ],
)
def test_a_bucket_in_the_host_is_taken_out(url, endpoint, bucket):
    assert split_endpoint(url, None) == (endpoint, bucket)
    assert split_endpoint(url, bucket or "pictures") == (endpoint, bucket or "pictures")


def test_a_second_bucket_in_the_host_is_refused():
    with pytest.raises(ValueError, match="another bucket"):
        split_endpoint("https://pictures.s3.us-west-2.amazonaws.com", "others")


@pytest.mark.parametrize(
    "url",
    ["", "s3.amazonaws.com", "s3://pictures", "ftp://h.example.com", "https://user:pass@h.example.com", "https://"],
)
def test_what_is_no_endpoint_is_refused(url):
    with pytest.raises(ValueError, match="must be an http or https URL"):
        split_endpoint(url, "pictures")


@pytest.mark.parametrize("rest", ["/pictures", "?x=1", "/?x", "//"])
def test_nothing_may_follow_the_host(rest):
    with pytest.raises(ValueError, match="nothing after the host"):
        split_endpoint(f"https://s3.example.com{rest}", "pictures")


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("https://s3-eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://s3.dualstack.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://s3.amazonaws.com", "us-east-1"),
        ("https://nyc3.digitaloceanspaces.com", "nyc3"),
        ("https://s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("https://s3.eu-central-1.wasabisys.com", "eu-central-1"),
        ("https://s3.fr-par.scw.cloud", "fr-par"),
        (f"https://{R2}", "auto"),
        ("https://storage.googleapis.com", "auto"),
        ("https://s3.minio.example.com", "us-east-1"),
        ("http://127.0.0.1:9000", "us-east-1"),
        ("https://s3.eu-west-1.amazonaws.com.evil.example", "us-east-1"),
    ],
)
def test_the_region_is_read_only_from_hosts_that_are_known(url, region):
    assert guess_region(url) == region
    assert S3Target(url, "k", "s", "b").signing_region == region
    assert S3Target(url, "k", "s", "b", region="mars-1").signing_region == "mars-1"


@pytest.mark.parametrize(("given", "kept"), [("", ""), ("/", ""), ("/a/b/", "a/b"), ("a-b_c.d", "a-b_c.d")])
def test_prefixes_lose_their_outer_slashes(given, kept):
    assert check_prefix(given) == kept


@pytest.mark.parametrize(
    "prefix", ["a//b", "..", "a/../b", "./a", "a b", "a?b", "a#b", "a%2e", "ä", "a\n", "a\\b", "x" * 513]
)
def test_prefixes_that_would_not_travel_are_refused(prefix):
    with pytest.raises(ValueError, match="must be folders"):
        check_prefix(prefix)


@pytest.mark.parametrize("bucket", ["", "ab", ".abc", "abc.", "a/b/c", "a b c", "abc\n", "ä-bucket", "x" * 256])
def test_bucket_names_no_server_takes_are_refused(bucket):
    with pytest.raises(ValueError, match="bucket's name"):
        check_bucket(bucket)
