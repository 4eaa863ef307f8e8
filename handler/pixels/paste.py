"""A repainted part put back into its picture."""

from __future__ import annotations

import numpy as np

from handler.pixels.crop import crop
from handler.pixels.masks import soft
from handler.pixels.resize import lanczos
from handler.plan.plan import Box


def pasted(pixels: np.ndarray, mask: np.ndarray, box: Box, part: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3]: the picture with what is marked taken from `part`, and a soft edge outside of it.

    part: uint8 [y, x, 3], what became of `box`. Beyond the edge (see `masks.soft`) and the box nothing changes.
    """
    old = crop(pixels, box).astype(np.float32)
    new = lanczos(part, box.width, box.height).astype(np.float32)
    share = soft(crop(mask, box))[:, :, None].astype(np.float32) / 255.0
    picture = pixels.copy()
    crop(picture, box)[:] = (new * share + old * (1.0 - share)).clip(0, 255).astype(np.uint8)
    return picture
