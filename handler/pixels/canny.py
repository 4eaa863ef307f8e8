"""PyraCanny: Canny edges of a picture at nine sizes, the coarse ones faded into the fine ones."""

from __future__ import annotations

import cv2
import numpy as np

from handler.pixels.levels import stretched

SCALES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
KEPT = 0.75
"""The share of what smaller sizes showed that stays when the next size is added."""
LOW_PERCENTILE, HIGH_PERCENTILE = 1, 99


def pyra_canny(pixels: np.ndarray, low: int, high: int) -> np.ndarray:
    """uint8 [h, w, 3] -> edges, uint8 [h, w]. low, high: Canny's thresholds, 1..255; their order does not matter."""
    height, width = pixels.shape[:2]
    edges: np.ndarray | None = None
    for scale in SCALES:
        size = max(1, int(width * scale)), max(1, int(height * scale))
        found = _canny(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), low, high)
        if edges is None:
            edges = found
        else:
            edges = KEPT * cv2.resize(edges, size, interpolation=cv2.INTER_LINEAR) + (1 - KEPT) * found
    return stretched(edges.sum(axis=2), LOW_PERCENTILE, HIGH_PERCENTILE)


def _canny(pixels: np.ndarray, low: int, high: int) -> np.ndarray:
    """Edges of each channel on its own: float32 [h, w, 3], 0 or 1."""
    channels = [cv2.Canny(np.ascontiguousarray(channel), low, high) for channel in np.moveaxis(pixels, 2, 0)]
    return np.stack(channels, axis=2).astype(np.float32) / 255.0
