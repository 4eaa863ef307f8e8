"""CPDS, contrast preserving decolorisation structure: a grey picture that keeps what only colours tell apart.

Decolorisation after Lu, Xu and Jia 2012 (https://doi.org/10.1109/ICCPHOT.2012.6215215), as OpenCV has it.
"""

from __future__ import annotations

import cv2
import numpy as np

from handler.pixels.levels import stretched

BLUR_STD = 0.8
LOW_PERCENTILE, HIGH_PERCENTILE = 4, 96


def cpds(pixels: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] -> uint8 [h, w]: the grey picture plus, at each place, how far its colour is from grey's."""
    soft = cv2.GaussianBlur(pixels, (0, 0), BLUR_STD)
    grey, boosted = cv2.decolor(soft)
    distance = np.sqrt(((soft.astype(np.float32) - boosted.astype(np.float32)) ** 2).sum(axis=2))
    return stretched(grey.astype(np.float32) + distance, LOW_PERCENTILE, HIGH_PERCENTILE)
