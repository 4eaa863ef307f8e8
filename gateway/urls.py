"""The address a caller knows the gateway by."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.webhooks import target
from schemas.bucket import take_bucket

if TYPE_CHECKING:
    from starlette.requests import Request

    from gateway.jobs.model import Job
    from gateway.settings import Settings

BASE_URL = "base_url"
"""In a job's `extra`: the base URL of the request that submitted it."""

_HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)*")


def base_url(request: Request, settings: Settings) -> str:
    """Scheme, host and path prefix, without a slash at the end: what links in an answer start with.

    The configured public URL, else what the request itself used; `X-Forwarded-*` only if they are trusted.
    """
    return settings.public_url.rstrip("/") if settings.public_url else used_url(request, settings)


def used_url(request: Request, settings: Settings) -> str:
    """What the request itself used, also where a public URL is configured."""
    scheme, host, prefix = request.url.scheme, request.headers.get("host", ""), ""
    if settings.trust_forwarded:
        scheme = _first(request, "proto") or scheme
        host = _first(request, "host") or host
        prefix = _first(request, "prefix").rstrip("/")
    if scheme not in ("http", "https") or not _HOST.fullmatch(host) or not _PREFIX.fullmatch(prefix):
        return own_url(settings)
    return f"{scheme}://{host}{prefix}"


def receiver_url(job: Job, settings: Settings) -> str:
    """Where those who are told of a job's end reach us: the configured public URL, else what its submit used."""
    return (settings.public_url or job.extra.get(BASE_URL) or own_url(settings)).rstrip("/")


def is_base(url: str) -> bool:
    """Whether `url` has the form of what these functions give."""
    scheme, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    known = bool(mark) and scheme in ("http", "https")
    return known and bool(_HOST.fullmatch(host) and _PREFIX.fullmatch(slash + path))


def split_bucket(url: str, bucket: str | None) -> tuple[str, str | None]:
    """The bare S3 endpoint of `url` and the bucket: `bucket`, or the one the host begins with, or None. ValueError,
    with words, for what is no endpoint."""
    try:
        found = target.parse(url)
    except target.Refused:
        raise ValueError("must be an http or https URL, such as https://s3.us-east-1.amazonaws.com") from None
    if found.request != "/":
        raise ValueError("must have nothing after the host")
    return take_bucket(found.scheme, found.host, found.authority, bucket)


def own_url(settings: Settings) -> str:
    """The address on this machine, as local workers use it. IPv6 addresses in brackets."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "localhost": "127.0.0.1"}.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _first(request: Request, name: str) -> str:
    return request.headers.get(f"x-forwarded-{name}", "").partition(",")[0].strip()
