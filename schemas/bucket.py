"""S3 as its servers have it: what a bucket, a folder and a region are called, what a refusal means, and the one way
clients are set up."""

from __future__ import annotations

import enum
import functools
import os
import re
from typing import Any

WEEK_S = 7 * 24 * 3600
"""Longest life of a presigned link (seconds), set by Signature Version 4."""

MAX_PREFIX = 512
"""Longest prefix (characters); a key has at most 1,024."""

# Names of today are 3 to 63 lower-case characters; some servers keep older, wider rules.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9!_.*'()=-]+", re.ASCII)
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")

# Hosts whose first labels may be a bucket and whose others name the signing region.
_PROVIDERS = tuple(
    re.compile(r"(?:(?P<bucket>[a-z0-9][a-z0-9.-]*)\.)??" + host)
    for host in (
        r"s3(?:\.dualstack)?[.-](?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]+)\.amazonaws\.com(?:\.cn)?",
        r"s3\.amazonaws\.com",
        r"(?P<region>[a-z]+[0-9])\.digitaloceanspaces\.com",
        r"(?P<region>[a-z]{2}-[a-z]+-[0-9])\.linodeobjects\.com",
        r"s3\.(?P<region>[a-z]{2}-[a-z]+-[0-9]{3})\.backblazeb2\.com",
        r"s3\.(?P<region>[a-z]{2}-[a-z]+-[0-9])\.wasabisys\.com",
        r"s3\.(?P<region>[a-z]{2}-[a-z]{3})\.scw\.cloud",
        r"(?P<auto>[0-9a-f]{32}(?:\.[a-z]+)?)\.r2\.cloudflarestorage\.com",
        r"(?P<auto>storage)\.googleapis\.com",
    )
)


class Refusal(enum.Enum):
    """Why a request failed. Each value ends a sentence that begins with the bucket."""

    CREDENTIALS = "refuses these credentials"
    BUCKET = "does not exist"
    OBJECT = "has no such file"
    REGION = "is in another region"
    CLOCK = "says that this machine's clock is wrong"
    DAMAGED = "received damaged data"
    FAILING = "answers with a server error"
    SILENT = "does not answer"
    ADDRESS = "has an address that is not allowed"
    OTHER = "refuses the request"

    @classmethod
    def of(cls, code: str, status: int) -> Refusal:
        """By S3's error code, https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, or HTTP status."""
        return _BY_CODE.get(code) or _BY_STATUS.get(status) or cls._by_class(status)

    @classmethod
    def _by_class(cls, status: int) -> Refusal:
        if status >= 500:
            return cls.FAILING
        return cls.REGION if 300 <= status < 400 else cls.OTHER


_BY_CODE = {
    "AuthorizationHeaderMalformed": Refusal.REGION,
    "AuthorizationQueryParametersError": Refusal.REGION,
    "BadDigest": Refusal.DAMAGED,
    "NoSuchBucket": Refusal.BUCKET,
    "NoSuchKey": Refusal.OBJECT,
    "PermanentRedirect": Refusal.REGION,
    "RequestExpired": Refusal.CLOCK,
    "RequestTimeTooSkewed": Refusal.CLOCK,
    "SlowDown": Refusal.FAILING,
}

_BY_STATUS = {
    401: Refusal.CREDENTIALS,
    403: Refusal.CREDENTIALS,
    404: Refusal.BUCKET,
    408: Refusal.FAILING,
    429: Refusal.FAILING,
}


def check_bucket(name: str) -> str:
    """`name`, or ValueError when no server takes it for a bucket."""
    if not _BUCKET.fullmatch(name):
        raise ValueError("must be a bucket's name: 3 to 255 of a-z A-Z 0-9 . _ -")
    return name


def check_region(name: str) -> str:
    """`name`, or ValueError when it is no region."""
    if not _REGION.fullmatch(name):
        raise ValueError("must be a region's name, such as us-east-1")
    return name


def check_prefix(path: str) -> str:
    """`path` without slashes at its ends; ValueError for what a key or a URL would not carry unchanged."""
    bare = path.strip("/")
    if len(bare) > MAX_PREFIX or not all(_SEGMENT.fullmatch(part) for part in bare.split("/") if bare):
        raise ValueError(f"must be folders of a-z A-Z 0-9 ! _ . * ' ( ) = -, at most {MAX_PREFIX} characters")
    return bare


def take_bucket(scheme: str, host: str, authority: str, bucket: str | None) -> tuple[str, str | None]:
    """The bare endpoint of a URL that was split, and the bucket, which the URL's host may begin with. ValueError, with
    words, when that is another than `bucket`."""
    in_host = _provider_group(host, "bucket")
    if in_host is None:
        return f"{scheme}://{authority}", bucket
    if bucket not in (None, in_host):
        raise ValueError("must not have another bucket in its host")
    return f"{scheme}://{authority.removeprefix(f'{in_host}.')}", in_host


def guess_region(host: str) -> str:
    """The region a well-known host names; `auto` for those without; else us-east-1, which others accept."""
    if _provider_group(host, "auto"):
        return "auto"
    return _provider_group(host, "region") or "us-east-1"


def _provider_group(host: str, group: str) -> str | None:
    matches = (provider.fullmatch(host) for provider in _PROVIDERS)
    return next((match.groupdict().get(group) for match in matches if match), None)


def make_client(endpoint_url: str, access_key_id: str, secret_access_key: str, region: str, **config: Any) -> Any:
    """A boto3 client. config: of `botocore.config.Config`, beside what every server needs. boto3 makes clients safely
    only one at a time."""
    from botocore.config import Config

    # Path style works with buckets whose names hold dots and with servers without wildcard DNS.
    return _session().client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=access_key_id,
        aws_secret_access_key=secret_access_key,
        region_name=region,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            **config,
        ),
    )


@functools.lru_cache(maxsize=1)
def _session() -> Any:
    """Holds boto3's tables, which take a moment to read. Imported late: a job may never need it.

    What a machine has configured for other programs (`AWS_PROFILE`, `~/.aws`) is left out: it could add a token
    to our credentials or name a profile that does not exist.
    """
    import boto3
    import botocore.session

    plain = {"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None)}
    return boto3.session.Session(botocore_session=botocore.session.Session(session_vars=plain))
