"""Image files for the tests, made byte by byte where no library would write them."""

from __future__ import annotations

import functools
import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
MANY = 1 << 20


def pattern(width: int = 24, height: int = 16) -> np.ndarray:
    """uint8 [h, w, 3]: every pixel different from its neighbours, no symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 10 % 256, y * 15 % 256, (x * 7 + y * 31) % 256], -1).astype(np.uint8)


def save(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    """A file Pillow writes; WebP without loss unless told otherwise."""
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    if kind == "WEBP":
        options = {"lossless": True, "exact": True, **options}
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes, interlace: int = 0) -> bytes:
    """A PNG of unfiltered `rows` (without their filter bytes); `extra` chunks stand before the pixels."""
    length = len(rows) // height if height else 0
    scan = b"".join(b"\0" + rows[i * length : (i + 1) * length] for i in range(height))
    return png_of_data(width, height, depth, colour, zlib.compress(scan), *extra, interlace=interlace)


def png_of_data(width, height, depth, colour, data: bytes, *extra: bytes, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return PNG + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@functools.cache
def zeros(length: int) -> bytes:
    """`length` zero bytes, deflated about 1:1030. One block is made and repeated, so gigabytes cost no time."""
    block = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    repeated = block.compress(bytes(MANY)) + block.flush(zlib.Z_FULL_FLUSH)
    rest = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    last = rest.compress(bytes(length % MANY)) + rest.flush()
    checksum = (length % 65521) << 16 | 1
    return b"\x78\xda" + repeated * (length // MANY) + last + struct.pack(">I", checksum)


def with_chunks(file: bytes, *extra: bytes) -> bytes:
    """A PNG with more chunks after its header."""
    return file[:33] + b"".join(extra) + file[33:]


def chunk_edges(file: bytes) -> list[int]:
    """Where the chunks or segments of a PNG, JPEG or WebP file begin and their bodies start."""
    if file.startswith(PNG):
        return _walk(file, 8, ">I4s", lambda length: length + 12, 8)
    if file.startswith(b"RIFF"):
        return _walk(file, 12, "<4xI", lambda length: length + 8 + length % 2, 8)
    return _walk(file, 2, ">2xH", lambda length: length + 2, 4)


def _walk(file: bytes, start: int, layout: str, step, header: int) -> list[int]:
    edges = []
    while start + header <= len(file):
        edges += [start, start + header]
        start += step(struct.unpack_from(layout, file, start)[0])
    return edges


def exif(orientation: int) -> bytes:
    block = Image.Exif()
    block[0x0112] = orientation
    return block.tobytes()


def swapped_profile() -> bytes:
    """An ICC profile whose red and green primaries are exchanged and whose name does not say sRGB."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", profile, 128)[0]
    places = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, green = places[b"rXYZ"], places[b"gXYZ"]
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def grown(file: bytes, target: int) -> bytes:
    """A PNG padded with an ignored chunk to `target` bytes."""
    return with_chunks(file, chunk(b"juNk", bytes(target - len(file) - 12)))


OTHER_FORMATS = {
    "gif": save(pattern(), "GIF"),
    "tiff": save(pattern(), "TIFF"),
    "bmp": save(pattern(), "BMP"),
    "ico": save(pattern(), "ICO"),
    "icns": save(Image.fromarray(pattern(32, 32)), "ICNS"),
    "ppm": save(pattern(), "PPM"),
    "tga": save(pattern(), "TGA"),
    "dds": save(pattern(), "DDS"),
    "avif": save(pattern(), "AVIF"),
    "jpeg2000": save(pattern(), "JPEG2000"),
    "pdf": save(pattern(), "PDF"),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
    "svg": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/"/></svg>',
    "html": b"<!DOCTYPE html><script>alert(1)</script>",
    "zip": b"PK\x05\x06" + bytes(18),
    "riff wave": b"RIFF\x24\0\0\0WAVEfmt " + bytes(24),
    "riff avi": b"RIFF\x24\0\0\0AVI LIST" + bytes(24),
    "heic": b"\0\0\0\x18ftypheic" + bytes(40),
    "mng": b"\x8aMNG\r\n\x1a\n" + bytes(40),
    "jng": b"\x8bJNG\r\n\x1a\n" + bytes(40),
    "pickle": b"\x80\x04cos\nsystem\n",
    "text": b"hello",
    "nearly png": b"\x89PNG\r\n\x1a\r" + bytes(40),
    "nearly jpeg": b"\xff\xd8\xfe" + bytes(40),
    "byte order mark first": b"\xef\xbb\xbf" + save(pattern(), "PNG"),
    "space first": b" " + save(pattern(), "JPEG"),
    "empty": b"",
}
