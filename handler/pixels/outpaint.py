"""A picture with room around it, to be painted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Margins:
    """Pixels beyond each side."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def added_to(self, height: int, width: int) -> tuple[int, int]:
        """Height and width with the room."""
        return self.top + height + self.bottom, self.left + width + self.right


def extended(pixels: np.ndarray, mask: np.ndarray, margins: Margins) -> tuple[np.ndarray, np.ndarray]:
    """Picture [h, w, 3] with its edges drawn out, and mask [h, w] with the new part marked."""
    place = ((margins.top, margins.bottom), (margins.left, margins.right))
    return np.pad(pixels, (*place, (0, 0)), mode="edge"), np.pad(mask, place, constant_values=255)
