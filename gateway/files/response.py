"""A kept file as an HTTP answer that no browser takes for a page."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.files.disk import Disk
from gateway.files.model import StoredFile
from gateway.files.ranges import Unsatisfiable, read_range

PIECE = 256 * 1024
"""Bytes read and sent at a time."""


async def file_response(request: Request, file: StoredFile, disk: Disk, now: float) -> Response:
    """The answer to a GET or HEAD of a file. FileNotFoundError if its content is gone.

    200, 206 for one range, 304 for an unchanged one, 416 for a range behind the end.
    """
    headers = file_headers(file, now)
    if _is_unchanged(request, headers):
        return Response(status_code=304, headers=headers)
    try:
        asked = read_range(_range_header(request, headers), file.size)
    except Unsatisfiable:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{file.size}"})
    part = range(file.size) if asked is None else asked
    headers["content-length"] = str(len(part))
    if asked is not None:
        headers["content-range"] = f"bytes {part.start}-{part.stop - 1}/{file.size}"
    status = 200 if asked is None else 206
    # Open before the status is sent: what has gone is a 404. Nobody may come to read it; then it closes itself.
    content = await disk.run(lambda: disk.open(file.blob))
    if request.method == "HEAD":
        content.close()
        return Response(status_code=status, headers=headers, media_type=file.media_type)
    return StreamingResponse(_pieces(disk, content, part), status, headers, file.media_type)


def file_headers(file: StoredFile, now: float) -> dict[str, str]:
    """What keeps content from being run, lets any page show it, and lets caches keep it while it lives."""
    seconds = 31536000 if file.expires_at is None else max(int(file.expires_at - now), 0)
    shared = {"access-control-allow-origin": "*"} if file.public else {}
    return shared | {
        "accept-ranges": "bytes",
        "cache-control": f"{'public' if file.public else 'private'}, max-age={seconds}, immutable",
        "content-disposition": f'{"inline" if file.is_image else "attachment"}; filename="{file.name}"',
        "content-security-policy": "sandbox; default-src 'none'",
        "cross-origin-resource-policy": "cross-origin",
        "etag": f'"{file.sha256[:32]}"',
        "last-modified": formatdate(file.created_at, usegmt=True),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }


def _is_unchanged(request: Request, headers: dict[str, str]) -> bool:
    known = request.headers.get("if-none-match")
    tags = {tag.strip().removeprefix("W/") for tag in (known or "").split(",")}
    return headers["etag"] in tags or known == "*"


def _range_header(request: Request, headers: dict[str, str]) -> str | None:
    """The Range header, unless If-Range says that the client has another version."""
    condition = request.headers.get("if-range")
    return request.headers.get("range") if condition in (None, headers["etag"], headers["last-modified"]) else None


async def _pieces(disk: Disk, content: BinaryIO, part: range) -> AsyncIterator[bytes]:
    with content:
        for start in range(part.start, part.stop, PIECE):
            size = min(PIECE, part.stop - start)
            yield await disk.run(lambda start=start, size=size: os.pread(content.fileno(), size, start))
