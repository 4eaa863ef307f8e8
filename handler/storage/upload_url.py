"""Pictures in the gateway's own file store: an upload URL in the job, and a token for it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from handler.media.urls import MAX_URL, parse
from handler.storage.delivery import ForbiddenAddress, NoAnswer, Reach, deliver
from handler.storage.exchange import Answer, Request
from handler.storage.job_url import check_reach
from handler.storage.names import MAX_NAME, safe_name
from handler.storage.patience import Patience
from schemas.errors import FieldError, StorageUnavailable

log = logging.getLogger(__name__)

PLACEHOLDER = "{file_name}"

_MAX_TEMPLATE = MAX_URL - MAX_NAME
_TEMPLATE = re.compile(r"https?://[^/?#{}]+/[^?#{}]*\{file_name\}[^?#{}]*(?:\?[^#{}]*)?")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")


class UploadUrlStore:
    """PUTs each file to the job's `uploadUrl`, in which `{file_name}` stands for the file's name.

    The answer may be JSON with the `url` to read the file at; otherwise that is the upload URL without query.
    """

    def __init__(self, template: str, token: str | None, reach: Reach, patience: Patience) -> None:
        self._template = template
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._reach = reach
        self._patience = patience

    def put(self, name: str, data: bytes, content_type: str) -> str:
        url = self._template.replace(PLACEHOLDER, safe_name(name))
        request = Request("PUT", parse(url), {"Content-Type": content_type, **self._headers}, data)
        try:
            answer = deliver(request, self._reach, self._patience)
        except (NoAnswer, ForbiddenAddress):
            raise _unavailable("did not answer") from None
        if not answer.ok:
            raise _unavailable(f"answered HTTP {answer.status}")
        return _told_url(answer) or urlunsplit(urlsplit(url)._replace(query="", fragment=""))

    def remove(self, name: str) -> None:
        """Nothing: the gateway drops the files of a job that failed."""


def parse_upload_url(
    job: Mapping[str, Any], *, allow_private: bool, trusted: str | None, patience: Patience
) -> UploadUrlStore:
    """The store of a job with `uploadUrl` and perhaps `uploadToken`.

    trusted: the one origin (`http://host:port`) that may be at any address; others must be public, or private
    too with `allow_private`. InvalidInput names the field; the token is never repeated. Resolves the host's
    name, so it may block for seconds.
    """
    template, token = job["uploadUrl"], job.get("uploadToken")
    if not isinstance(template, str) or len(template) > _MAX_TEMPLATE or not _TEMPLATE.fullmatch(template):
        raise FieldError(["uploadUrl"], message=f"This must be an http or https URL with one {PLACEHOLDER} in its path")
    if token is not None and not (isinstance(token, str) and _TOKEN.fullmatch(token)):
        raise FieldError(["uploadToken"], message="This must be 1 to 4096 printable characters")
    sample = template.replace(PLACEHOLDER, "file")
    reach = Reach.ANY if _same_origin(sample, trusted) else Reach.of_user(allow_private)
    check_reach(sample, reach, ["uploadUrl"])
    return UploadUrlStore(template, token, reach, patience)


def _same_origin(url: str, trusted: str | None) -> bool:
    try:
        ours, theirs = parse(url), parse(trusted or "")
    except ValueError:
        return False
    return (ours.scheme, ours.authority) == (theirs.scheme, theirs.authority)


def _told_url(answer: Answer) -> str | None:
    """The `url` of a JSON answer, if it is one a client can GET."""
    try:
        url = json.loads(answer.body)["url"]
        parse(url)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return str(url)


def _unavailable(what: str) -> StorageUnavailable:
    log.error("Storage: the upload URL %s", what)
    return StorageUnavailable(f"The images were made but their upload URL {what}")
