"""Control images brought to the size of what is sampled."""

from __future__ import annotations

import numpy as np


def nearest_cover(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """uint8 [h, w, 3] -> [height, width, 3]: the frame is filled, the rest cut away evenly, no colour is mixed."""
    rows = _kept(pixels.shape[0], pixels.shape[1] * height / width)
    columns = _kept(pixels.shape[1], pixels.shape[0] * width / height)
    return pixels[_centres(rows, height)][:, _centres(columns, width)]


def _kept(length: int, wanted: float) -> range:
    """The middle of a side that is longer than `wanted`; all of a shorter one."""
    margin = max(0, round((length - wanted) / 2))
    return range(margin, length - margin)


def _centres(kept: range, parts: int) -> np.ndarray:
    """The pixels that hold the centres of so many equal parts of `kept`."""
    return kept.start + ((np.arange(parts) + 0.5) * (len(kept) / parts)).astype(np.int64)
