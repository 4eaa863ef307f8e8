"""What the engine hands out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Picture:
    """One rendered picture. pixels: uint8 [height, width, 3] RGB; nsfw: what the safety checker says."""

    pixels: np.ndarray
    seed: int
    nsfw: bool
