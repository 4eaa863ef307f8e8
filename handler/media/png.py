"""A small PNG writer: 8-bit RGB, quick to write.

Every row is stored as differences to the pixel on its left (filter Sub) and deflated at level 1 with the RLE
strategy, which suits filtered rows: about half the time of Pillow's level 1 and no larger for pictures.
Format: https://www.w3.org/TR/png-3/.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SUB = 1


def write_png(pixels: np.ndarray, texts: Sequence[tuple[str, str]] = ()) -> bytes:
    """Encode `pixels`, uint8 [h, w, 3]. texts: keyword and text of the text chunks, in order."""
    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), *(_text(keyword, text) for keyword, text in texts)]
    return b"".join([SIGNATURE, *chunks, _chunk(b"IDAT", _deflate(pixels)), _chunk(b"IEND", b"")])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _text(keyword: str, text: str) -> bytes:
    """tEXt where Latin-1 is enough, else iTXt in UTF-8, not compressed."""
    try:
        return _chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + text.encode("latin-1"))
    except UnicodeEncodeError:
        return _chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode("utf-8"))


def _deflate(pixels: np.ndarray) -> bytes:
    height, width, _ = pixels.shape
    rows = np.empty((height, 1 + width * 3), np.uint8)
    rows[:, 0] = _SUB
    rows[:, 1:4] = pixels[:, 0]
    np.subtract(pixels[:, 1:], pixels[:, :-1], out=rows[:, 4:].reshape(height, width - 1, 3))
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return packer.compress(rows.data) + packer.flush()
