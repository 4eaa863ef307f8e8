"""Picture fields: base64, data URI or URL, as a source the worker takes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from schemas.errors import FieldError, UnsupportedImageFormat

NOTHING = frozenset({"", "none", "null", "string"})
"""What clients and API explorers send for "no picture"."""

FORMATS = "png, jpeg, webp"


def is_given(text: str | None) -> bool:
    """Whether a picture field has a picture."""
    return text is not None and text.strip().lower() not in NOTHING


def source(text: str | None, loc: Sequence[str | int]) -> str | None:
    """A URL or data URI; None for no picture. Raises FieldError at `loc` for broken base64 or another format."""
    if text is None or not is_given(text):
        return None
    text = text.strip()
    if text.lower().startswith(("http://", "https://", "data:")):
        return text
    return data_uri(_decoded(text, loc), loc)


def data_uri(data: bytes, loc: Sequence[str | int]) -> str:
    """The data URI of an encoded picture. Raises UnsupportedImageFormat at `loc` unless it is PNG, JPEG or WebP."""
    kind = _kind(data)
    if kind is None:
        raise UnsupportedImageFormat(loc, supported_formats=FORMATS)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _decoded(text: str, loc: Sequence[str | int]) -> bytes:
    compact = "".join(text.split())
    try:
        # Many encoders leave the padding away.
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise FieldError(loc, message="Input should be a URL, a data URI or base64 of a picture") from None


def _kind(data: bytes) -> str | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None
