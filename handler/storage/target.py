"""One bucket: where it is, who may write there, how its keys and links look."""

from __future__ import annotations

from dataclasses import dataclass, field

from handler.media.urls import parse
from schemas import bucket as names
from schemas.bucket import WEEK_S


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
    return names.take_bucket(target.scheme, target.host, target.authority, bucket)


def guess_region(endpoint_url: str) -> str:
    """The signing region of a well-known host, else what others accept."""
    return names.guess_region(parse(endpoint_url).host)
