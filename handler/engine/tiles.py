"""Work on a large picture in overlapping tiles, blended by linear ramps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def tiled(
    picture: Tensor,
    function: Callable[[Tensor], Tensor],
    tile: tuple[int, int],
    overlap: int,
    scale: float,
) -> Tensor:
    """Apply `function` tile by tile, row by row, and blend the results.

    picture: [n, c, h, w]. function: [n, c, y, x] -> [n, k, scale * y, scale * x]. tile: (width, height); overlap: of
    neighbouring tiles, in pixels of the picture, less than either side.
    """
    (width, height), (bottom, right) = tile, picture.shape[2:]
    total = weight = torch.zeros(())
    for y in range(0, bottom, height - overlap):
        for x in range(0, right, width - overlap):
            done = function(picture[:, :, y : y + height, x : x + width])
            if not weight.ndim:
                shape = (*done.shape[:2], round(bottom * scale), round(right * scale))
                total, weight = done.new_zeros(shape), done.new_zeros(shape)
            place = (
                ...,
                *(
                    slice(round(at * scale), round(at * scale) + size)
                    for at, size in zip((y, x), done.shape[2:], strict=True)
                ),
            )
            mask = _mask(done, round(overlap * scale))
            total[place] += done * mask
            weight[place] += mask
    return total / weight


def _mask(tile: Tensor, feather: int) -> Tensor:
    """[h, w]: 1 in the middle, falling to 1 / feather at every edge."""
    rows, columns = (_ramp(size, feather).to(tile) for size in tile.shape[2:])
    return rows[:, None] * columns


def _ramp(size: int, feather: int) -> Tensor:
    """[size]: rises over `feather` pixels from the start and falls over as many to the end.

    In a tile shorter than the ramp the falling side reaches past the start and goes on from the end, once: so
    Fooocus blends, and a picture's last tiles are often that short.
    """
    ramp = torch.ones(size)
    for step in range(min(feather, 2 * size)):
        height = (step + 1) / feather
        if step < size:
            ramp[step] *= height
        if step != size:
            ramp[size - 1 - step] *= height
    return ramp
