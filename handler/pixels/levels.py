"""Grey values spread over the whole range."""

from __future__ import annotations

import numpy as np

FLAT = 1e-5


def stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Any numbers -> uint8 of the same shape: the percentile `low` becomes 0, `high` 255; beyond them is cut off.

    A picture without any contrast between the two becomes black.
    """
    bottom, top = np.percentile(values, low), np.percentile(values, high)
    if top - bottom < FLAT:
        return np.zeros(values.shape, dtype=np.uint8)
    return ((values - bottom) / (top - bottom) * 255.0).clip(0, 255).astype(np.uint8)
