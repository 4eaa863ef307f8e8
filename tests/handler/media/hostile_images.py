"""Files that are small and ask for much, or lie; by name, with the error each must end in (None: decodes)."""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable

from PIL import Image

from schemas.errors import ImageLoadError, ImageTooLarge

from .image_files import chunk, pattern, png_of_data, save, with_chunks, zeros

Expected = type[Exception] | None


def _bomb(width: int, height: int, depth: int, colour: int, samples: int) -> bytes:
    row = 1 + (width * depth * samples + 7) // 8
    return png_of_data(width, height, depth, colour, zeros(row * height))


def _header_only(width: int, height: int) -> bytes:
    return png_of_data(width, height, 8, 2, b"")


def _compressed_chunk(kind: bytes, name: bytes, size: int) -> bytes:
    lead = name + b"\0\0" if kind != b"iTXt" else name + b"\0\1\0\0\0"
    return chunk(kind, lead + zeros(size))


def _jpeg_of_size(width: int, height: int) -> bytes:
    data = bytearray(save(pattern(), "JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _webp_canvas(width: int, height: int) -> bytes:
    data = bytearray(save(pattern(), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"))
    data[24:27], data[27:30] = (width - 1).to_bytes(3, "little"), (height - 1).to_bytes(3, "little")
    return bytes(data)


def _animation(frames: int) -> bytes:
    images = [Image.new("RGB", (400, 400), (i, 0, 0)) for i in range(frames)]
    return save(images[0], "WEBP", save_all=True, append_images=images[1:], duration=10, lossless=False, method=0)


def _apng(frames: int) -> bytes:
    images = [Image.new("RGB", (400, 400), (i, 0, 0)) for i in range(frames)]
    return save(images[0], "PNG", save_all=True, append_images=images[1:])


def _looping_exif() -> bytes:
    """A directory that points to itself as its EXIF and its next directory."""
    entry = struct.pack(">HHII", 0x8769, 4, 1, 8)
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + struct.pack(">I", 8)


def _huge_exif_value() -> bytes:
    entry = struct.pack(">HHII", 0x0112, 3, 0xFFFFFFFF, 8)
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + bytes(4)


def many_scans(count: int) -> bytes:
    """A progressive JPEG of the full size whose last scan comes again and again: little data, much work."""
    data = save(Image.new("RGB", (4000, 4000), (90, 90, 90)), "JPEG", progressive=True, quality=50)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


def _good() -> bytes:
    return save(pattern(), "PNG")


_MAKERS: dict[str, tuple[Callable[[], bytes], Expected]] = {
    "1-bit 13377 x 13377": (lambda: _bomb(13377, 13377, 1, 0, 1), ImageTooLarge),
    "strip 1 x 60,000,000": (lambda: _bomb(1, 60_000_000, 1, 0, 1), ImageTooLarge),
    "strip 60,000,000 x 1": (lambda: _bomb(60_000_000, 1, 1, 0, 1), ImageTooLarge),
    "RGBA 9459 x 9459": (lambda: _bomb(9459, 9459, 8, 6, 4), ImageTooLarge),
    "one side too long": (lambda: _bomb(8193, 1, 8, 0, 1), ImageTooLarge),
    "one row too many": (lambda: _bomb(8192, 2051, 1, 0, 1), ImageTooLarge),
    "2**31 - 1 a side": (lambda: _header_only(2**31 - 1, 2**31 - 1), ImageTooLarge),
    "width 0": (lambda: _header_only(0, 10), ImageLoadError),
    "height 0": (lambda: _header_only(10, 0), ImageLoadError),
    "largest RGBA": (lambda: _bomb(4096, 4096, 8, 6, 4), None),
    "largest RGBA, 16 bit": (lambda: _bomb(4096, 4096, 16, 6, 4), None),
    "largest grey, 16 bit, keyed": (
        lambda: with_chunks(_bomb(4096, 4096, 16, 0, 1), chunk(b"tRNS", b"\0\0")), None,
    ),
    "largest palette": (
        lambda: with_chunks(_bomb(4096, 4096, 8, 3, 1), chunk(b"PLTE", bytes(768)), chunk(b"tRNS", bytes(256))), None,
    ),
    "1 GiB behind 100 x 100": (lambda: png_of_data(100, 100, 8, 2, zeros(2**30)), None),
    "1 GiB in an unknown zlib stream": (lambda: with_chunks(_good(), chunk(b"zIPs", zeros(2**30))), None),
    "zTXt of 300 MB": (lambda: with_chunks(_good(), _compressed_chunk(b"zTXt", b"a", 300 << 20)), ImageLoadError),
    "iTXt of 300 MB": (lambda: with_chunks(_good(), _compressed_chunk(b"iTXt", b"a", 300 << 20)), ImageLoadError),
    "iCCP of 300 MB": (lambda: with_chunks(_good(), _compressed_chunk(b"iCCP", b"a", 300 << 20)), ImageLoadError),
    "100 zTXt of 1 MB": (
        lambda: with_chunks(_good(), *(_compressed_chunk(b"zTXt", b"%d" % i, 1 << 20) for i in range(100))),
        ImageLoadError,
    ),
    "100,000 text chunks": (
        lambda: with_chunks(_good(), *(chunk(b"tEXt", b"%d\0x" % i) for i in range(100_000))), None,
    ),
    "EXIF that points to itself": (lambda: save(pattern(), "PNG", exif=_looping_exif()), None),
    "EXIF value of 8 GB": (lambda: save(pattern(), "JPEG", exif=_huge_exif_value()), None),
    "palette missing": (lambda: png_of_data(4, 4, 8, 3, zlib.compress(bytes(20))), None),
    "unknown colour type": (lambda: png_of_data(4, 4, 8, 5, zlib.compress(bytes(20))), ImageLoadError),
    "impossible bit depth": (lambda: png_of_data(4, 4, 3, 2, zlib.compress(bytes(99))), ImageLoadError),
    "no pixel data": (lambda: png_of_data(4, 4, 8, 2, b""), ImageLoadError),
    "pixel data too short": (lambda: png_of_data(400, 400, 8, 2, zlib.compress(bytes(9))), ImageLoadError),
    "pixel data is not deflated": (lambda: png_of_data(4, 4, 8, 2, b"\xff" * 99), ImageLoadError),
    "chunk length 2**31": (lambda: _good()[:33] + b"\x7f\xff\xff\xfftEXt", ImageLoadError),
    "chunk length 2**32 - 1": (lambda: _good()[:33] + b"\xff\xff\xff\xfftEXt" + bytes(99), ImageLoadError),
    "wrong checksum": (lambda: _good()[:29] + b"\0\0\0\0" + _good()[33:], ImageLoadError),
    "JPEG of 65535 x 65535": (lambda: _jpeg_of_size(65535, 65535), ImageTooLarge),
    "JPEG of 8192 x 2050 with 24 x 16 of data": (lambda: _jpeg_of_size(8192, 2050), None),
    "JPEG of height 0": (lambda: _jpeg_of_size(24, 0), ImageLoadError),
    "WebP canvas of 16384 x 16384": (lambda: _webp_canvas(16384, 16384), ImageTooLarge),
    "WebP canvas of 16777216 x 1": (lambda: _webp_canvas(16777216, 1), ImageLoadError),
    "WebP canvas that does not fit its picture": (lambda: _webp_canvas(4000, 4000), ImageLoadError),
    "WebP animation of 200 frames": (lambda: _animation(200), None),
    "APNG of 50 frames": (lambda: _apng(50), None),
}  # fmt: skip

NAMES = list(_MAKERS)


@functools.cache
def hostile(name: str) -> tuple[bytes, Expected]:
    make, expected = _MAKERS[name]
    return make(), expected
