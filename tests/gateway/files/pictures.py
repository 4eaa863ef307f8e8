"""Content that is what it says, and content that is not."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator

from PIL import Image


def picture(form: str = "PNG", color: str = "red") -> bytes:
    """A picture of 8 x 8 pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, form)
    return buffer.getvalue()


def content(number: int, size: int) -> bytes:
    """`size` bytes that repeat nowhere soon."""
    block = hashlib.sha512(str(number).encode()).digest()
    return (block * (size // len(block) + 1))[:size]


async def pieces(data: bytes, size: int = 65536) -> AsyncIterator[bytes]:
    """`data` as a connection brings it."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
