"""One bucket: where it is, who may write there, how its keys and links look."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from handler.media.urls import parse

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


@dataclass(frozen=True)
class S3Target:
    """A bucket and the credentials for it.

    endpoint_url: scheme and host, no path. prefix: put before every key, no slash at its ends. region: None
    guesses it from well-known hosts, else us-east-1. presign_s: life of a link, 1..WEEK_S seconds.
    public_url: base of links when the bucket is readable by anyone; such links are not signed.
    from_job: whether the job brought it, so that its refusals are the caller's to read.
    """

    endpoint_url: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    bucket_name: str
    prefix: str = ""
    region: str | None = None
    presign_s: int = WEEK_S
    public_url: str | None = None
    from_job: bool = False

    @property
    def signing_region(self) -> str:
        return self.region or guess_region(self.endpoint_url)

    def key(self, folder: str, name: str) -> str:
        """`<prefix>/<folder>/<name>`."""
        return "/".join(part for part in (self.prefix, folder, name) if part)


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


def split_endpoint(url: str, bucket: str | None) -> tuple[str, str | None]:
    """Take a bucket out of an endpoint's host, where RunPod's own helper expects it.

    Returns the bare endpoint and the bucket's name, None when neither argument tells it. ValueError, with
    words, for what is no endpoint.
    """
    try:
        target = parse(url)
    except ValueError:
        raise ValueError("must be an http or https URL, such as https://s3.us-east-1.amazonaws.com") from None
    if target.path != "/":
        raise ValueError("must have nothing after the host")
    in_host = _provider_group(target.host, "bucket")
    if in_host is None:
        return f"{target.scheme}://{target.authority}", bucket
    if bucket not in (None, in_host):
        raise ValueError("must not have another bucket in its host")
    return f"{target.scheme}://{target.authority.removeprefix(f'{in_host}.')}", in_host


def guess_region(endpoint_url: str) -> str:
    """The region a well-known host names; `auto` for those without; else us-east-1, which others accept."""
    host = parse(endpoint_url).host
    if _provider_group(host, "auto"):
        return "auto"
    return _provider_group(host, "region") or "us-east-1"


def _provider_group(host: str, group: str) -> str | None:
    matches = (provider.fullmatch(host) for provider in _PROVIDERS)
    return next((match.groupdict().get(group) for match in matches if match), None)
