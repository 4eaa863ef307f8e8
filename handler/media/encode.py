"""Finished pixels as a PNG, JPEG or WebP file, with or without generation metadata."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image

from handler.media.metadata import Metadata
from handler.media.png import write_png
from schemas.enums import OutputFormat

QUALITY = 95
"""JPEG and WebP quality, as Fooocus saves them."""

_WEBP_EFFORT = 1
_JPEG_SEGMENT = 65533


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Floats 0..1 of any shape as uint8: times 255, clamped, truncated (not rounded), as Fooocus does."""
    return np.clip(pixels * 255.0, 0, 255).astype(np.uint8)


def encode(pixels: np.ndarray, output_format: OutputFormat, metadata: Metadata | None = None) -> bytes:
    """Encode one picture, uint8 [h, w, 3] RGB. ValueError for any other array.

    PNG carries `metadata` in the text chunks `parameters` and `fooocus_scheme`, JPEG and WebP in EXIF. A JPEG
    goes without metadata of more than 64 KB, which its EXIF segment cannot hold.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError("expected uint8 pixels [h, w, 3]")
    pixels = np.ascontiguousarray(pixels)
    if output_format is OutputFormat.PNG:
        return write_png(pixels, metadata.png_texts() if metadata else ())
    exif = metadata.exif() if metadata else b""
    file = BytesIO()
    if output_format is OutputFormat.JPEG:
        exif = exif if len(exif) <= _JPEG_SEGMENT else b""
        Image.fromarray(pixels).save(file, "jpeg", quality=QUALITY, exif=exif)
    else:
        Image.fromarray(pixels).save(file, "webp", quality=QUALITY, method=_WEBP_EFFORT, exif=exif)
    return file.getvalue()


def content_type(output_format: OutputFormat) -> str:
    """The MIME type of the files `encode` makes."""
    return f"image/{output_format.value}"
