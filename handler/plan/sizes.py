"""Sizes of pictures: Fooocus's table of SDXL sizes, its labels, and how it rounds a given picture's size.

Heights come before widths in `Size`, as in the arrays of pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from schemas.enums import UovMethod

Size = tuple[int, int]
"""Height and width in pixels."""

SDXL_SIZES = (
    (704, 1408), (704, 1344), (768, 1344), (768, 1280), (832, 1216), (832, 1152), (896, 1152), (896, 1088),
    (960, 1088), (960, 1024), (1024, 1024), (1024, 960), (1088, 960), (1088, 896), (1152, 896), (1152, 832),
    (1216, 832), (1280, 768), (1344, 768), (1344, 704), (1408, 704), (1472, 704), (1536, 640), (1600, 640),
    (1664, 576), (1728, 576),
)  # fmt: skip
"""Widths and heights of Fooocus's menu, of about one megapixel each."""

STEP = 64
LATENT_STEP = 8
MAX_PASSES = 256
SMALLEST_CLASS, LARGEST_CLASS = 1024, 2048
UPSCALER_FACTOR = 4
"""The upscaler's network quadruples sides, whatever was asked for; its result is scaled down then."""
LARGEST_DIFFUSED = 2800
"""Upscaled pictures of a larger size class are delivered as they are: diffusing them would need too much memory."""

VARY_DENOISE = {UovMethod.VARY_SUBTLE: 0.5, UovMethod.VARY_STRONG: 0.85}
UPSCALE_FACTOR = {UovMethod.UPSCALE_15: 1.5, UovMethod.UPSCALE_2: 2.0, UovMethod.UPSCALE_FAST_2: 2.0}
UPSCALE_DENOISE = 0.382


@dataclass(frozen=True)
class UovSize:
    """What becomes of a picture to vary or upscale.

    image: the size it is brought to; denoised: the size that is diffused, whole latent pixels. denoise: 0..1, how
    much is made anew, 0 for a picture that is delivered as upscaled. tiled: whether the VAE works in tiles.
    """

    image: Size
    denoised: Size
    denoise: float
    tiled: bool


def ratio(width: int, height: int) -> tuple[int, int]:
    """Width to height in lowest terms."""
    divisor = math.gcd(width, height)
    return width // divisor, height // divisor


def size_label(width: int, height: int) -> str:
    """Fooocus's name for a size: `1152×896 ∣ 9:7`."""
    across, down = ratio(width, height)
    return f"{width}×{height} ∣ {across}:{down}"


def nearest_size(width: int, height: int) -> tuple[int, int]:
    """The (width, height) of SDXL_SIZES whose ratio is nearest."""
    return min(SDXL_SIZES, key=lambda size: abs(size[0] / size[1] - width / height))


def describe_size(width: int, height: int) -> str:
    """Two lines: size, decimal ratio and ratio in lowest terms of a picture, and of the nearest SDXL size."""
    return "\n".join(_described(*size) for size in ((width, height), nearest_size(width, height)))


def _described(width: int, height: int) -> str:
    across, down = ratio(width, height)
    return f"{width} x {height}, {round(width / height, 2)}, {across}:{down}"


def size_class(height: float, width: float) -> int:
    """Side of the square of equal area, rounded up to a multiple of 64."""
    return math.ceil(math.sqrt(height * width) / STEP) * STEP


def fit_class(height: int, width: int, target: int) -> Size:
    """The size of about the same proportions, in steps of 64, whose class is `target`; as it is when it has that class.

    Steps of 64 may miss the class forever; the search ends after MAX_PASSES.
    """
    for _ in range(MAX_PASSES):
        current = size_class(height, width)
        if current == target:
            break
        factor = target / current
        height, width = _stepped(height * factor), _stepped(width * factor)
    return height, width


def _stepped(side: float) -> int:
    return round(side / STEP) * STEP


def vary_size(height: int, width: int, method: UovMethod) -> UovSize:
    """A picture to vary is brought into the classes 1024 to 2048."""
    target = min(max(size_class(height, width), SMALLEST_CLASS), LARGEST_CLASS)
    image = fit_class(height, width, target)
    return UovSize(image, whole_latents(image), VARY_DENOISE[method], tiled=False)


def upscale_size(height: int, width: int, method: UovMethod, value: float | None = None) -> UovSize:
    """A picture to upscale is brought at least to class 1024. Sides of the factor's product are truncated.

    Where the factor does not reach that class, the upscaler's whole result is fitted into it. value: a factor in the
    place of the method's own.
    """
    factor = value or UPSCALE_FACTOR[method]
    reached = size_class(height * factor, width * factor)
    exact = int(height * factor), int(width * factor)
    whole = UPSCALER_FACTOR * height, UPSCALER_FACTOR * width
    image = fit_class(*whole, SMALLEST_CLASS) if reached < SMALLEST_CLASS else exact
    if method is UovMethod.UPSCALE_FAST_2 or reached > LARGEST_DIFFUSED:
        return UovSize(image, (0, 0), 0.0, tiled=False)
    return UovSize(image, whole_latents(image), UPSCALE_DENOISE, tiled=True)


def whole_latents(size: Size) -> Size:
    """The largest size of whole latent pixels that is not larger."""
    height, width = size
    return height // LATENT_STEP * LATENT_STEP, width // LATENT_STEP * LATENT_STEP
