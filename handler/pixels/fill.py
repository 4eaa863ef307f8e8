"""A marked place filled with its blurred surroundings."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from handler.pixels.masks import THRESHOLD

PASSES = ((512, 2), (256, 2), (128, 4), (64, 4), (33, 8), (15, 8), (5, 16), (3, 16))
"""Radius of the box blur in pixels, and how often it is repeated: colours from afar first, then ever finer."""


def blurred_fill(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """pixels: uint8 [h, w, 3]; mask: uint8 [h, w], what is below THRESHOLD stays as it is."""
    picture = Image.fromarray(pixels)
    kept = Image.fromarray(np.where(mask < THRESHOLD, 255, 0).astype(np.uint8))
    filled = picture
    for radius, times in PASSES:
        for _ in range(times):
            filled = filled.filter(ImageFilter.BoxBlur(radius))
            filled.paste(picture, mask=kept)
    return np.asarray(filled)
