"""A PNG, JPEG or WebP file as plain 8-bit sRGB pixels. For the decoding process; imports only Pillow."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from PIL import Image, ImageChops, ImageCms
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from handler.media.decode_protocol import MAX_PIXELS, is_acceptable

_ORIENTATION = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PROFILE_SPACES = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}
_SRGB = ImageCms.createProfile("sRGB")

# Pillow refuses above twice this number; WebP's canvas is allocated on opening, before sizes can be compared.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class Unsupported(Exception):
    """The content is not PNG, JPEG or WebP."""


class TooLarge(Exception):
    """The image has too many pixels or too long a side."""


def decode(data: bytes) -> Image.Image:
    """Decode the first frame of `data` to mode RGB, or RGBA where the file has transparency.

    Upright (EXIF orientation applied), sRGB (ICC profile applied), no metadata. Raises Unsupported, TooLarge,
    or whatever Pillow raises for a damaged file.
    """
    opener = _opener(data)
    try:
        image = opener(BytesIO(data))
    except Image.DecompressionBombError:
        raise TooLarge from None
    if image.width < 1 or image.height < 1:
        raise ValueError("an image without pixels")
    if not is_acceptable(image.width, image.height):
        raise TooLarge
    image.load()
    result = image if _is_plain(image) else _plain(image, _bit_depth(image, data))
    transposition = _TRANSPOSITIONS.get(_orientation(image))
    return result if transposition is None else result.transpose(transposition)


def _opener(data: bytes) -> type[ImageFile]:
    """The decoder for the content. The classes themselves, so that no other format can be guessed."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return WebPImageFile
    raise Unsupported


def _bit_depth(image: Image.Image, data: bytes) -> int:
    return data[24] if isinstance(image, PngImageFile) else 8


def _orientation(image: Image.Image) -> Any:
    try:
        return image.getexif().get(_ORIENTATION)
    except Exception:  # a damaged EXIF block does not make the pixels unusable
        return None


def _is_plain(image: Image.Image) -> bool:
    """Whether the pixels are RGB or RGBA already: the common case, in which nothing is copied."""
    return image.mode in ("RGB", "RGBA") and not {"icc_profile", "transparency"} & image.info.keys()


def _plain(image: Image.Image, depth: int) -> Image.Image:
    colour, alpha = _separate(image, depth)
    rgb = _to_srgb(colour, image.info.get("icc_profile"))
    if alpha is not None:
        rgb.putalpha(alpha)
    return rgb


def _separate(image: Image.Image, depth: int) -> tuple[Image.Image, Image.Image | None]:
    """Split into colour (mode L, RGB or CMYK) and alpha (mode L, None where everything is opaque)."""
    # Text chunks of a PNG land in `info` too, so the type tells a real transparency from a forged one.
    key = image.info.get("transparency")
    if image.mode == "P":
        if not isinstance(key, int | bytes):
            return image.convert("RGB"), None
        image, key = image.convert("RGBA"), None
    if image.mode in ("RGBA", "LA"):
        return image.convert(image.mode[:-1]), image.getchannel("A")
    if image.mode == "I;16":
        return _from_16_bit_grey(image, key)
    colour = image if image.mode in _PROFILE_SPACES else image.convert("L" if image.mode == "1" else "RGB")
    return colour, _keyed(colour, key, depth)


def _from_16_bit_grey(image: Image.Image, key: Any) -> tuple[Image.Image, Image.Image | None]:
    samples = image.tobytes("raw", "I;16B")
    high, low = (Image.frombytes("L", image.size, samples[start::2]) for start in (0, 1))
    if not isinstance(key, int):
        return high, None
    return high, ImageChops.lighter(_differs(high, key >> 8), _differs(low, key & 255))


def _keyed(colour: Image.Image, key: Any, depth: int) -> Image.Image | None:
    """Alpha of an image one colour of which is transparent (PNG tRNS). `key`: samples of `depth` bits."""
    values = (key,) if isinstance(key, int) else key
    if not isinstance(values, tuple) or len(values) != len(colour.getbands()):
        return None
    alpha = Image.new("L", colour.size, 0)
    for band, value in zip(colour.split(), values, strict=True):
        alpha = ImageChops.lighter(alpha, _differs(band, _to_8_bit(value, depth)))
    return alpha


def _to_8_bit(sample: int, depth: int) -> int:
    if depth == 16:
        return sample >> 8
    return sample * 255 // (2**depth - 1) if depth in (2, 4) else sample


def _differs(band: Image.Image, value: int) -> Image.Image:
    """Mode L: 0 where `band` has `value`, 255 elsewhere."""
    return band.point([0 if sample == value else 255 for sample in range(256)])


def _to_srgb(colour: Image.Image, profile: Any) -> Image.Image:
    """Convert to RGB with the file's ICC profile; without a usable one the values are taken as they are."""
    if isinstance(profile, bytes) and profile:
        try:
            return _apply(ImageCms.ImageCmsProfile(BytesIO(profile)), colour)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass
    return colour.convert("RGB")


def _apply(profile: ImageCms.ImageCmsProfile, colour: Image.Image) -> Image.Image:
    if profile.profile.xcolor_space != _PROFILE_SPACES[colour.mode]:
        raise ValueError("the profile is for another colour space")
    if "sRGB" in (profile.profile.profile_description or ""):
        return colour.convert("RGB")
    converted = ImageCms.profileToProfile(colour, profile, _SRGB, outputMode="RGB")
    if converted is None:
        raise ValueError("the profile could not be applied")
    return converted
