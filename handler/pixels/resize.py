"""Pictures in another size or with other channels, as Fooocus makes them: Lanczos, transparency on white."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import IntEnum
from fractions import Fraction

import numpy as np
from PIL import Image


class ResizeMode(IntEnum):
    """How a picture is fitted into a frame of other proportions."""

    SQUASH = 0
    COVER = 1
    """The frame is filled and the rest cut away, evenly on both sides."""
    CONTAIN = 2
    """The whole picture is in the middle, its edges drawn out to the frame."""


def lanczos(pixels: np.ndarray, width: float, height: float) -> np.ndarray:
    """uint8 [h, w] or [h, w, 3] in another size; sides are truncated to whole pixels.

    The width first, as Pillow had it in Fooocus's days: what overshoots is cut off after each side, so order matters.
    """
    image = Image.fromarray(pixels).resize((int(width), pixels.shape[0]), Image.Resampling.LANCZOS)
    return np.array(image.resize((int(width), int(height)), Image.Resampling.LANCZOS))


def resize(pixels: np.ndarray, width: int, height: int, mode: ResizeMode = ResizeMode.COVER) -> np.ndarray:
    """uint8 [h, w, 3] -> [height, width, 3]."""
    if mode is ResizeMode.SQUASH:
        return lanczos(pixels, width, height)
    return _cover(pixels, width, height) if mode is ResizeMode.COVER else _contain(pixels, width, height)


def three_channels(pixels: np.ndarray) -> np.ndarray:
    """uint8 [h, w], [h, w, 1], [h, w, 3] or [h, w, 4] -> [h, w, 3]; transparency shows white. ValueError otherwise."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    channels = pixels.shape[2]
    if channels == 1:
        return np.repeat(pixels, 3, axis=2)
    if channels == 3:
        return pixels
    if channels != 4:
        raise ValueError("expected 1, 3 or 4 channels")
    alpha = pixels[:, :, 3:].astype(np.float32) / 255.0
    shown = pixels[:, :, :3].astype(np.float32) * alpha + 255.0 * (1.0 - alpha)
    return shown.clip(0, 255).astype(np.uint8)


def image_grid(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of one size, uint8 [h, w, 3], in rows as near to a square number as they go; free places are black."""
    height, width, channels = pictures[0].shape
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    grid = np.zeros((rows * height, columns * width, channels), dtype=np.uint8)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        grid[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return grid


def _cover(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    scaled = lanczos(pixels, *_scaled_size(pixels, width, height, max))
    left, top = _offset(scaled.shape[1], width), _offset(scaled.shape[0], height)
    return scaled[top : top + height, left : left + width]


def _contain(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    scaled = lanczos(pixels, *_scaled_size(pixels, width, height, min))
    left, top = _offset(width, scaled.shape[1]), _offset(height, scaled.shape[0])
    bottom, right = height - scaled.shape[0] - top, width - scaled.shape[1] - left
    filled = np.pad(scaled, ((top, bottom), (left, right), (0, 0)), mode="edge")
    if top:
        filled[:top] = _edge(scaled, 0)
    if bottom:
        filled[-bottom:] = _edge(scaled, len(scaled))
    if left:
        filled[:, :left] = _edge(scaled.swapaxes(0, 1), 0).swapaxes(0, 1)
    if right:
        filled[:, -right:] = _edge(scaled.swapaxes(0, 1), scaled.shape[1]).swapaxes(0, 1)
    return filled


def _scaled_size(
    pixels: np.ndarray, width: int, height: int, choose: Callable[[Fraction, Fraction], Fraction]
) -> tuple[int, int]:
    """Width and height at the chosen one of the two factors that fit a side exactly; the other side is truncated."""
    source_height, source_width = pixels.shape[:2]
    factor = choose(Fraction(width, source_width), Fraction(height, source_height))
    return int(source_width * factor), int(source_height * factor)


def _offset(longer: int, shorter: int) -> int:
    """Where the shorter side begins on the longer one, middle on middle."""
    return longer // 2 - shorter // 2


def _edge(pixels: np.ndarray, row: int) -> np.ndarray:
    """[1, w, 3]: the colours on the line before `row`, as a cubic filter of no height sees them; Fooocus's filling."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.array(image.resize((image.width, 1), Image.Resampling.BICUBIC, box=(0, row, image.width, row)))
