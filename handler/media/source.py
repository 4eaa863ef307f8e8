"""An image as a request names it: an http(s) URL or a data URI."""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence

from PIL import Image

from handler.media.decode import decode
from handler.media.fetch import fetch
from handler.media.policy import FetchPolicy
from schemas.errors import FileDownloadError, FileTooLarge, ImageLoadError

_DATA_URI = re.compile(r"data:image/(?:png|jpe?g|webp);base64,", re.IGNORECASE)
_HTTP = re.compile(r"https?:", re.IGNORECASE)
_ACCEPTED = "The image must be an http or https URL or a data:image/png, jpeg or webp;base64 URI"


def load_image(source: str, loc: Sequence[str | int], policy: FetchPolicy) -> Image.Image:
    """Load the image that `source` names, mode RGB or RGBA as `decode` returns it.

    loc: the input field. `policy.max_bytes` bounds the file of either kind of source. Raises
    FileDownloadError, FileTooLarge, ImageLoadError, ImageTooLarge or UnsupportedImageFormat.
    """
    return decode(_read(source, loc, policy), loc)


def _read(source: str, loc: Sequence[str | int], policy: FetchPolicy) -> bytes:
    if _HTTP.match(source):
        return fetch(source, loc, policy)
    prefix = _DATA_URI.match(source)
    if prefix is None:
        raise FileDownloadError(loc, input=source, message=_ACCEPTED)
    return _from_base64(source, prefix.end(), loc, policy.max_bytes)


def _from_base64(source: str, start: int, loc: Sequence[str | int], max_bytes: int) -> bytes:
    """Decode strictly: standard alphabet, padded, no white space. The size is checked before decoding."""
    if (len(source) - start) % 4:
        raise ImageLoadError(loc, input=source)
    if (len(source) - start) // 4 * 3 - source[-2:].count("=") > max_bytes:
        raise FileTooLarge(loc, input=source, max_size=max_bytes)
    try:
        return binascii.a2b_base64(source[start:].encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ImageLoadError(loc, input=source) from None
