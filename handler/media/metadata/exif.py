"""The three EXIF tags that carry metadata in JPEG and WebP files.

Fooocus puts them into the first directory as text: Software, MakerNote (the scheme), UserComment (the text).
Layout: TIFF 6.0 section 2; the web UI's own files have UserComment in the EXIF directory, with a character
code.
"""

from __future__ import annotations

import struct

SOFTWARE = 0x0131
MAKER_NOTE = 0x927C
USER_COMMENT = 0x9286
_EXIF_DIRECTORY = 0x8769

_ASCII = 2
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}
_MAX_ENTRIES = 200


def write_exif(tags: dict[int, str]) -> bytes:
    """A TIFF block, big-endian, with `tags` as text in the first directory.

    Text beyond ASCII is stored as UTF-8; Fooocus would store question marks.
    """
    values = {tag: text.encode("utf-8") + b"\0" for tag, text in sorted(tags.items())}
    offset = 8 + 2 + 12 * len(values) + 4
    entries, heap = b"", b""
    for tag, value in values.items():
        place = struct.pack(">I", offset + len(heap))
        if len(value) <= 4:
            place = value.ljust(4, b"\0")
        else:
            heap += value + b"\0" * (len(value) % 2)
        entries += struct.pack(">HHI", tag, _ASCII, len(value)) + place
    return b"MM\0*\0\0\0\x08" + struct.pack(">H", len(values)) + entries + b"\0\0\0\0" + heap


def read_exif(block: bytes) -> dict[int, str]:
    """The text values of the first directory and of the EXIF directory. ValueError if `block` is not TIFF."""
    if block[:4] not in (b"MM\0*", b"II*\0"):
        raise ValueError("not a TIFF block")
    order = ">" if block[:1] == b"M" else "<"
    try:
        tags = _read_directory(block, struct.unpack_from(order + "I", block, 4)[0], order)
        pointer = tags.pop(_EXIF_DIRECTORY, b"")
        if len(pointer) == 4:
            tags = _read_directory(block, struct.unpack(order + "I", pointer)[0], order) | tags
    except struct.error as error:
        raise ValueError("the TIFF block is damaged") from error
    return {tag: _text(value, order) for tag, value in tags.items()}


def _read_directory(block: bytes, start: int, order: str) -> dict[int, bytes]:
    (count,) = struct.unpack_from(order + "H", block, start)
    tags = {}
    for index in range(min(count, _MAX_ENTRIES)):
        position = start + 2 + 12 * index
        tag, kind, length = struct.unpack_from(order + "HHI", block, position)
        size = length * _SIZES.get(kind, 0)
        place = position + 8 if size <= 4 else struct.unpack_from(order + "I", block, position + 8)[0]
        if tag in (SOFTWARE, MAKER_NOTE, USER_COMMENT, _EXIF_DIRECTORY):
            tags[tag] = block[place : place + size]
    return tags


def _text(value: bytes, order: str) -> str:
    code, body = value[:8], value[8:]
    if code == b"UNICODE\0":
        return body.decode("utf-16-be" if order == ">" else "utf-16-le", "replace")
    if code == b"ASCII\0\0\0":
        value = body
    value = value.rstrip(b"\0")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
