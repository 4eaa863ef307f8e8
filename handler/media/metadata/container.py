"""Metadata inside PNG, JPEG and WebP files: which parts of the file carry it. No pixel is decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from handler.media.metadata.exif import MAKER_NOTE, SOFTWARE, USER_COMMENT, read_exif, write_exif
from handler.media.png import SIGNATURE
from schemas.enums import MetadataScheme

VERSION = "Fooocus v2.5.5"
"""The version of Fooocus whose files ours are like; its readers look for the name."""

MAX_TEXT = 2**20
"""Longest text (bytes) that is read."""

_PARAMETERS = "parameters"
_SCHEME = "fooocus_scheme"
_EXIF_HEADER = b"Exif\0\0"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata text of one image and the scheme it is written in."""

    scheme: MetadataScheme
    text: str

    def png_texts(self) -> list[tuple[str, str]]:
        """Keyword and text of the PNG text chunks."""
        return [(_PARAMETERS, self.text), (_SCHEME, self.scheme.value)]

    def exif(self) -> bytes:
        """The EXIF block of a JPEG or WebP file, with its `Exif` header."""
        tags = {SOFTWARE: VERSION, MAKER_NOTE: self.scheme.value, USER_COMMENT: self.text}
        return _EXIF_HEADER + write_exif(tags)


def read_metadata(data: bytes) -> Metadata | None:
    """The metadata in a PNG, JPEG or WebP file, None if there is none or the file is damaged.

    Without a known scheme the text decides: JSON is `fooocus`, anything else `a1111`.
    """
    try:
        text, scheme = _from_png(data) if data.startswith(SIGNATURE) else _from_exif(data)
    except (ValueError, struct.error):
        return None
    if not text:
        return None
    if scheme not in set(MetadataScheme):
        scheme = MetadataScheme.FOOOCUS if text.lstrip().startswith("{") else MetadataScheme.A1111
    return Metadata(MetadataScheme(scheme), text)


def _from_png(data: bytes) -> tuple[str | None, str | None]:
    texts = dict(_png_texts(data))
    return texts.get(_PARAMETERS), texts.get(_SCHEME)


def _png_texts(data: bytes) -> Iterator[tuple[str, str]]:
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind in (b"tEXt", b"iTXt") and length <= MAX_TEXT:
            yield _png_text(kind, data[position + 8 : position + 8 + length])
        position += 12 + length


def _png_text(kind: bytes, body: bytes) -> tuple[str, str]:
    keyword, _, rest = body.partition(b"\0")
    if kind == b"tEXt":
        return keyword.decode("latin-1"), rest.decode("latin-1")
    if rest[:1] != b"\0":
        return keyword.decode("latin-1"), ""  # compressed, which nobody writes here
    _, _, rest = rest[2:].partition(b"\0")
    return keyword.decode("latin-1"), rest.partition(b"\0")[2].decode("utf-8", "replace")


def _from_exif(data: bytes) -> tuple[str | None, str | None]:
    block = _webp_exif(data) if data[:4] == b"RIFF" else _jpeg_exif(data)
    tags = read_exif(block.removeprefix(_EXIF_HEADER))
    return tags.get(USER_COMMENT), tags.get(MAKER_NOTE)


def _jpeg_exif(data: bytes) -> bytes:
    position = 2
    while data[position : position + 1] == b"\xff":
        marker, length = struct.unpack_from(">xBH", data, position)
        if marker == 0xDA:
            break
        body = data[position + 4 : position + 2 + length]
        if marker == 0xE1 and body.startswith(_EXIF_HEADER):
            return body
        position += 2 + length
    raise ValueError("no EXIF block")


def _webp_exif(data: bytes) -> bytes:
    position = 12
    while position + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF" and length <= MAX_TEXT:
            return data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
    raise ValueError("no EXIF block")
