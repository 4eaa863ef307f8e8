"""The part of a picture that inpainting works on: around the mask, as wide as the "respective field" says."""

from __future__ import annotations

import numpy as np

from handler.plan.plan import Box

MARGIN = 1.15
"""How much larger than the mask the smallest part is."""


def crop(pixels: np.ndarray, box: Box) -> np.ndarray:
    """That part of [h, w, ...], not copied."""
    return pixels[box.top : box.bottom, box.left : box.right]


def work_box(mask: np.ndarray, field: float) -> Box:
    """The part to work on. mask: uint8 [h, w], not all 0.

    field: 0..1, the share of either side that the part has at least; 0 is a square around the mask, 1 the whole
    picture. The part grows evenly, its shorter side first, and where it meets an edge, on the other side only.
    """
    height, width = mask.shape
    box = around_mask(mask)
    while box.height < field * height or box.width < field * width:
        box = _grown(box, height, width)
    return box


def around_mask(mask: np.ndarray) -> Box:
    """A square around what is marked, cut at the edges of the picture."""
    rows, columns = (np.flatnonzero((mask > 0).any(axis=axis)) for axis in (1, 0))
    (y, half_height), (x, half_width) = (_middle(each) for each in (rows, columns))
    reach = int(max(half_height, half_width) * MARGIN)
    height, width = mask.shape
    return Box(max(y - reach, 0), min(y + reach + 1, height), max(x - reach, 0), min(x + reach + 1, width))


def _middle(places: np.ndarray) -> tuple[int, int]:
    first, last = int(places[0]), int(places[-1])
    return (first + last) // 2, (last - first) // 2


def _grown(box: Box, height: int, width: int) -> Box:
    """One pixel more on both ends of the shorter side, or of the only one that can grow."""
    upwards = box.height < box.width
    if box.height == height or box.width == width:
        upwards = box.height < height
    if upwards:
        return Box(max(box.top - 1, 0), min(box.bottom + 1, height), box.left, box.right)
    return Box(box.top, box.bottom, max(box.left - 1, 0), min(box.right + 1, width))
