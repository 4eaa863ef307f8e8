"""Names and types of files, taken from nobody's word."""

from __future__ import annotations

import re
import secrets
import unicodedata

MAX_NAME = 96
"""Longest file name (characters) in a URL."""

OCTETS = "application/octet-stream"

_OTHER = re.compile(r"[^A-Za-z0-9._-]+")
_ID = re.compile(r"[0-9a-f]{32}")
_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,11}$")

HEAD_SIZE = 12
"""How many bytes of content `media_type` looks at."""


def new_id() -> str:
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def safe_name(text: str | None) -> str:
    """`text` as `[A-Za-z0-9_-][A-Za-z0-9._-]*`, at most MAX_NAME characters, its extension kept; `file` if nothing
    is left. Directories before the name are dropped."""
    last = re.split(r"[/\\]", text or "")[-1]
    plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
    plain = _OTHER.sub("_", plain).lstrip("._")
    extension = _EXTENSION.search(plain)
    suffix = extension[0] if extension else ""
    return (plain.removesuffix(suffix)[: MAX_NAME - len(suffix)] or "file") + suffix


def media_type(head: bytes) -> str:
    """The type of content that starts with `head` (HEAD_SIZE bytes or more): PNG, JPEG, WebP, or plain octets.

    Signatures: PNG https://www.w3.org/TR/png-3/#5PNG-file-signature, JPEG https://www.w3.org/Graphics/JPEG/itu-t81.pdf
    B.1.1.3, WebP RFC 9649 section 2.5.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return OCTETS
