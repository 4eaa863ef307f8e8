"""Masks of pictures: uint8 [h, w], 255 where a picture is to be painted anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from handler.pixels.resize import lanczos

THRESHOLD = 127
"""What is brighter counts as marked."""
FEATHER = 32
"""Width in pixels of the soft edge outside of a mask."""
FEATHER_STEP = 256 // FEATHER

Combine = Callable[..., np.ndarray]


def marked(mask: np.ndarray, threshold: int = THRESHOLD) -> np.ndarray:
    """255 where the mask is brighter than `threshold`, else 0."""
    return np.where(mask > threshold, 255, 0).astype(np.uint8)


def from_picture(picture: np.ndarray) -> np.ndarray:
    """The mask that a picture, uint8 [h, w, 3 or 4], draws: where it is bright on the average of its channels.

    What is transparent marks nothing.
    """
    brightness = picture[:, :, :3].astype(np.float32).mean(axis=2)
    if picture.shape[2] == 4:
        brightness *= picture[:, :, 3] / np.float32(255)
    return marked(brightness)


def resized(mask: np.ndarray, width: int, height: int) -> np.ndarray:
    """The mask in another size, its edges sharp."""
    return marked(lanczos(mask, width, height))


def erode_or_dilate(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask grown by so many pixels in every direction, corners included; shrunk where `pixels` is negative.

    What is outside of the picture counts neither as marked nor as unmarked.
    """
    combine = np.maximum if pixels > 0 else np.minimum
    for _ in range(abs(pixels)):
        mask = _neighbours(mask, combine)
    return mask


def soft(mask: np.ndarray) -> np.ndarray:
    """uint8 [h, w]: 255 where marked, falling to 0 over FEATHER pixels outside of that."""
    away = np.where(mask > THRESHOLD, 0, FEATHER).astype(np.uint8)
    for _ in range(FEATHER - 1):
        away = np.minimum(away, _neighbours(away, np.minimum) + np.uint8(1))
    return (256 - FEATHER_STEP * away.astype(np.int16)).clip(0, 255).astype(np.uint8)


def _neighbours(mask: np.ndarray, combine: Combine) -> np.ndarray:
    """What `combine` makes of each pixel and its eight neighbours."""
    lines = mask.copy()
    combine(lines[1:], mask[:-1], out=lines[1:])
    combine(lines[:-1], mask[1:], out=lines[:-1])
    result = lines.copy()
    combine(result[:, 1:], lines[:, :-1], out=result[:, 1:])
    combine(result[:, :-1], lines[:, 1:], out=result[:, :-1])
    return result
