"""What comes out of the decoder: the right pixels, upright, sRGB, mode RGB or RGBA, and nothing else."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from handler.media.decode import decode

from .image_files import chunk, exif, pattern, png, save, swapped_profile, with_chunks

LOC = ("body", "image_url")
PIXELS = pattern()
GREY = PIXELS[..., 2]
ALPHA = PIXELS[..., 0]
RGBA = np.dstack([PIXELS, ALPHA])


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(decode(data, LOC))


def same(data: bytes, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(pixels(data), expected)


def grey_as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None].astype(np.uint8), 3, axis=-1)


def big_endian(high: np.ndarray, low: np.ndarray | int = 0) -> bytes:
    """16-bit samples as PNG stores them."""
    return ((high.astype(np.uint16) << 8) | low).astype(">u2").tobytes()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_files_are_pixel_exact(kind):
    same(save(PIXELS, kind), PIXELS)
    same(save(Image.fromarray(RGBA), kind), RGBA)


def test_jpeg_is_what_pillow_makes_of_it():
    data = save(PIXELS, "JPEG", quality=90)
    same(data, np.asarray(Image.open(BytesIO(data))))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_applied(kind, orientation):
    """Orientation says where row 0 and column 0 of the stored picture are (EXIF 2.3, tag 0x0112)."""
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: a.transpose(1, 0, 2)[:, ::-1],
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: a.transpose(1, 0, 2)[::-1],
    }[orientation]
    same(save(PIXELS, kind, exif=exif(orientation)), upright(pixels(save(PIXELS, kind))))


@pytest.mark.parametrize(
    "block", [b"Exif\0\0", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0" + b"\xff" * 500, exif(9), exif(0)]
)
def test_a_broken_or_strange_orientation_is_no_orientation(block):
    same(save(PIXELS, "PNG", exif=block), PIXELS)


def test_every_png_colour_type_and_depth():
    wide = (GREY.astype(np.uint16) << 8) | 0x5A
    low = GREY >> 4
    same(save(Image.fromarray(GREY), "PNG"), grey_as_rgb(GREY))
    same(save(Image.fromarray(GREY > 127), "PNG"), grey_as_rgb((GREY > 127) * 255))
    same(save(Image.fromarray(wide), "PNG"), grey_as_rgb(GREY))
    same(save(Image.fromarray(np.dstack([GREY, ALPHA])), "PNG"), np.dstack([grey_as_rgb(GREY), ALPHA]))
    packed = (low[:, ::2] << 4 | low[:, 1::2]).astype(np.uint8).tobytes()
    same(png(24, 16, 4, 0, packed), grey_as_rgb(low * 17))
    same(png(24, 16, 16, 2, big_endian(PIXELS, 7)), PIXELS)
    same(png(24, 16, 16, 6, big_endian(RGBA, 7)), RGBA)
    same(
        png(24, 16, 16, 4, big_endian(np.dstack([GREY, ALPHA]))),
        np.dstack([grey_as_rgb(GREY), ALPHA]),
    )


def test_palettes_with_and_without_transparency():
    palette = bytes(pattern(16, 16).reshape(-1, 3).tobytes())
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    plte, alphas = chunk(b"PLTE", palette), bytes(range(0, 256, 2))
    same(png(24, 16, 8, 3, GREY.tobytes(), plte), colours[GREY])
    expected = np.concatenate([np.frombuffer(alphas, np.uint8), np.full(128, 255, np.uint8)])[GREY]
    same(png(24, 16, 8, 3, GREY.tobytes(), plte, chunk(b"tRNS", alphas)), np.dstack([colours[GREY], expected]))
    one = chunk(b"tRNS", b"\xff" * 5 + b"\0")
    same(
        png(24, 16, 8, 3, GREY.tobytes(), plte, one),
        np.dstack([colours[GREY], np.where(GREY == 5, 0, 255).astype(np.uint8)]),
    )


def test_one_transparent_colour():
    def keyed(rgb: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        return np.dstack([rgb, np.where(hidden, 0, 255).astype(np.uint8)])

    value, colour = int(GREY[3, 5]), [int(v) for v in PIXELS[3, 5]]
    trns = chunk(b"tRNS", struct.pack(">H", value))
    same(png(24, 16, 8, 0, GREY.tobytes(), trns), keyed(grey_as_rgb(GREY), value == GREY))
    trns = chunk(b"tRNS", struct.pack(">3H", *colour))
    same(png(24, 16, 8, 2, PIXELS.tobytes(), trns), keyed(PIXELS, (colour == PIXELS).all(-1)))
    wide = (GREY.astype(np.uint16) << 8) | ALPHA
    trns = chunk(b"tRNS", struct.pack(">H", int(wide[3, 5])))
    same(png(24, 16, 16, 0, big_endian(GREY, ALPHA), trns), keyed(grey_as_rgb(GREY), wide == wide[3, 5]))
    low = GREY >> 4
    trns = chunk(b"tRNS", struct.pack(">H", int(low[3, 5])))
    packed = (low[:, ::2] << 4 | low[:, 1::2]).astype(np.uint8).tobytes()
    same(png(24, 16, 4, 0, packed, trns), keyed(grey_as_rgb(low * 17), low == low[3, 5]))
    trns = chunk(b"tRNS", struct.pack(">3H", *(v << 8 for v in colour)))
    same(png(24, 16, 16, 2, big_endian(PIXELS), trns), keyed(PIXELS, (colour == PIXELS).all(-1)))


def test_jpeg_grey_and_cmyk():
    grey = save(Image.fromarray(GREY), "JPEG")
    same(grey, grey_as_rgb(np.asarray(Image.open(BytesIO(grey)))))
    cmyk = save(Image.fromarray(PIXELS).convert("CMYK"), "JPEG", quality=95)
    result = pixels(cmyk)
    assert result.shape == PIXELS.shape
    np.testing.assert_array_equal(result, np.asarray(Image.open(BytesIO(cmyk)).convert("RGB")))


def test_interlaced_and_progressive_files():
    data = save(PIXELS, "JPEG", progressive=True)
    same(data, np.asarray(Image.open(BytesIO(data))))


def test_an_icc_profile_is_applied():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    for kind, slack in (("PNG", 2), ("WEBP", 2), ("JPEG", 6)):
        result = pixels(save(red, kind, icc_profile=swapped_profile()))
        assert np.abs(result.astype(int) - [0, 255, 0]).max() <= slack, kind


def test_alpha_survives_an_icc_profile():
    result = pixels(save(Image.fromarray(RGBA), "PNG", icc_profile=swapped_profile()))
    np.testing.assert_array_equal(result[..., 3], ALPHA)
    assert np.abs(result[..., :3].astype(int) - PIXELS).max() > 50


def test_an_srgb_profile_changes_nothing():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same(save(PIXELS, "PNG", icc_profile=profile), PIXELS)


@pytest.mark.parametrize("profile", [b"", b"garbage", bytes(4000), swapped_profile()[:200], swapped_profile()[:-60]])
def test_an_unusable_profile_is_dropped(profile):
    same(save(PIXELS, "PNG", icc_profile=profile), PIXELS)


def test_a_profile_for_another_colour_space_is_dropped():
    same(save(Image.fromarray(GREY), "PNG", icc_profile=swapped_profile()), grey_as_rgb(GREY))


@pytest.mark.parametrize(
    "keyword", [b"transparency", b"icc_profile", b"exif", b"xmp", b"gamma", b"dpi", b"default_image"]
)
def test_text_chunks_cannot_pose_as_properties(keyword):
    forged = chunk(b"tEXt", keyword + b"\0" + b"forged")
    same(with_chunks(save(PIXELS, "PNG"), forged), PIXELS)


def test_nothing_but_pixels_comes_back():
    words = chunk(b"tEXt", b"Comment\0secret") + chunk(b"zTXt", b"More\0\0" + zlib.compress(b"secret"))
    image = decode(with_chunks(save(PIXELS, "PNG", exif=exif(1), icc_profile=swapped_profile()), words), LOC)
    assert image.info == {}
    assert dict(image.getexif()) == {}
    assert type(image) is Image.Image


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_only_the_first_frame_of_an_animation(kind):
    frames = [Image.fromarray(np.roll(PIXELS, shift, axis=1)) for shift in range(6)]
    data = save(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    same(data, PIXELS)


def test_the_default_image_of_an_apng_that_is_no_frame():
    frames = [Image.fromarray(np.roll(PIXELS, shift, axis=1)) for shift in range(3)]
    data = save(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    same(data, PIXELS)


@pytest.mark.parametrize(
    "trailer", [b"<html><script>alert(1)</script></html>", b"PK\x03\x04" + bytes(100), b"%PDF-1.7\n", b"\0" * 9999]
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_follows_the_picture_is_ignored(kind, trailer):
    data = save(PIXELS, kind)
    same(data + trailer, pixels(data))


def test_a_script_inside_a_picture_does_no_harm():
    words = b"<script>fetch('//x')</script><?php system($_GET[0]); ?>"
    same(with_chunks(save(PIXELS, "PNG"), chunk(b"tEXt", b"Comment\0" + words)), PIXELS)
    data = save(PIXELS, "JPEG", comment=words)
    same(data, np.asarray(Image.open(BytesIO(data))))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (8192, 1), (1, 8192), (8192, 2050), (4096, 4096)])
def test_sizes_up_to_the_limits(size):
    image = decode(save(Image.new("L", size, 7), "PNG", compress_level=1), LOC)
    assert (image.size, image.getpixel((size[0] - 1, size[1] - 1))) == (size, (7, 7, 7))
