"""The only code of the worker that opens a URL a user supplied.

The name is resolved once, every address it has must be global, and the connection goes to exactly one of
those addresses; each redirect starts over. Whatever goes wrong, the user reads the same sentence: a blocked,
a closed and a filtered address cannot be told apart. The operator's log has the reason.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from io import BytesIO
from pathlib import Path

from handler.media.addresses import is_permitted
from handler.media.connection import get
from handler.media.policy import FetchPolicy
from handler.media.resolver import resolve
from handler.media.urls import Target, parse
from schemas.errors import FileDownloadError, FileTooLarge, InternalError

__all__ = ["FetchPolicy", "download", "fetch"]

log = logging.getLogger(__name__)

Location = Sequence[str | int]

_DEFAULT = FetchPolicy()
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PIECE = 1 << 16


class _TooLarge(Exception):
    pass


def fetch(url: str, loc: Location, policy: FetchPolicy = _DEFAULT) -> bytes:
    """Download `url` into memory.

    loc: the input field that named it. FileTooLarge when the body exceeds `policy.max_bytes`,
    FileDownloadError for every other failure.
    """
    body = BytesIO()
    with closing(_pieces(url, loc, policy)) as pieces:
        for piece in pieces:
            body.write(piece)
    return body.getvalue()


def download(url: str, destination: Path, loc: Location, policy: FetchPolicy = _DEFAULT) -> Path:
    """Download `url` to the file `destination`, which appears complete or not at all, and return it.

    Errors as `fetch`; InternalError when the disk does not take the file. The folder must exist.
    """
    with closing(_pieces(url, loc, policy)) as pieces:
        try:
            return _write(pieces, destination)
        except OSError as error:
            log.error("a download could not be stored: %s", error)
            raise InternalError from None


def _write(pieces: Iterator[bytes], destination: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=".download.", suffix=".part", dir=destination.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(destination)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return destination


def _pieces(url: str, loc: Location, policy: FetchPolicy) -> Iterator[bytes]:
    """The body of `url` in pieces, with every network failure turned into the user's error."""
    try:
        yield from _follow(url, policy)
    except _TooLarge:
        raise FileTooLarge(loc, input=url, max_size=policy.max_bytes) from None
    except (OSError, ValueError, HTTPException) as error:
        log.info("a download failed: %s: %s", type(error).__name__, error)
        raise FileDownloadError(loc, input=url) from None


def _follow(url: str, policy: FetchPolicy) -> Iterator[bytes]:
    deadline = time.monotonic() + policy.total_s
    target = parse(url)
    for _ in range(policy.max_redirects + 1):
        addresses = _admit(target, policy, deadline)
        with get(target, addresses, policy, deadline) as response:
            if response.status not in _REDIRECTS:
                yield from _body(response, policy.max_bytes)
                return
            target = target.follow(_only(response, "Location") or "")
    raise ValueError("too many redirects")


def _admit(target: Target, policy: FetchPolicy, deadline: float) -> list[str]:
    """The addresses `target` may be asked for at. ValueError unless every one of them is permitted."""
    if target.scheme == "http" and not policy.allow_http:
        raise ValueError("plain http is not allowed")
    if target.port not in policy.ports and not policy.allow_private:
        raise ValueError("the port is not allowed")
    if target.is_address:
        addresses = [target.host]
    else:
        seconds = min(policy.connect_s, deadline - time.monotonic())
        addresses = resolve(policy.resolver, target.host, target.port, seconds)
    if not all(is_permitted(address, allow_private=policy.allow_private) for address in addresses):
        raise ValueError("an address is not allowed")
    return addresses


def _body(response: HTTPResponse, max_bytes: int) -> Iterator[bytes]:
    """Read a plain 200 body. Its size is counted as read; a length that promises too much ends it early."""
    if response.status != 200:
        raise ValueError("the answer is not 200")
    if (_only(response, "Content-Encoding") or "identity").lower() != "identity":
        raise ValueError("the answer is compressed")
    if (_only(response, "Transfer-Encoding") or "chunked").lower() != "chunked":
        raise ValueError("the transfer encoding is unknown")
    if _declared_length(response) > max_bytes:
        raise _TooLarge
    received = 0
    while piece := response.read(_PIECE):
        received += len(piece)
        if received > max_bytes:
            raise _TooLarge
        yield piece
    if response.length:
        raise ValueError("the answer ended early")


def _declared_length(response: HTTPResponse) -> int:
    text = _only(response, "Content-Length") or "0"
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("the length is not a number")
    return int(text)


def _only(response: HTTPResponse, name: str) -> str | None:
    """The value of a header that may come once. ValueError if it comes more often."""
    values = response.headers.get_all(name, [])
    if len(values) > 1:
        raise ValueError(f"more than one {name}")
    return str(values[0]).strip() if values else None
