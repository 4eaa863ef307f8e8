"""Names that are safe as an S3 key, as a file name, in a URL and in a header."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from pathlib import PurePosixPath

MAX_NAME = 96
"""Longest name (characters) given out."""

_OTHER = re.compile(r"[^A-Za-z0-9._-]+")
_DIGEST = 8


def safe_name(text: str) -> str:
    """`text` as `^[A-Za-z0-9_-][A-Za-z0-9._-]*$`, at most MAX_NAME characters.

    A name that is safe already stays as it is. Any other gets eight hexadecimal digits of its SHA-256 before
    the extension, so that two different texts do not end up with one name.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = _OTHER.sub("_", plain).lstrip("._")
    if plain == text and 0 < len(plain) <= MAX_NAME:
        return plain
    suffix = PurePosixPath(plain).suffix[:12].rstrip(".")
    stem = plain.removesuffix(suffix)[: MAX_NAME - len(suffix) - _DIGEST - 1].rstrip(".") or "file"
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{stem}-{digest}{suffix}"
