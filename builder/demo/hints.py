"""Hints of drawn scenes for training: edges as PyraCanny finds them, and grey pictures of the kind CPDS makes."""

from __future__ import annotations

import random
from collections.abc import Callable

import cv2
import numpy as np

Hint = Callable[[random.Random, np.ndarray], np.ndarray]
"""Makes uint8 [h, w] of a drawn picture, uint8 [h, w, 3]."""

SCALES = tuple(step / 10 for step in range(2, 11))
CANNY_LOW, CANNY_HIGH = 64, 128
FADED = 0.75


def edges(rng: random.Random, pixels: np.ndarray) -> np.ndarray:
    """Canny's edges at nine sizes, each fading what the smaller ones showed: what the worker's PyraCanny gives."""
    height, width = pixels.shape[:2]
    found = [_canny(pixels, int(width * scale), int(height * scale)) for scale in SCALES]
    total = found[0]
    for finer in found[1:]:
        total = FADED * cv2.resize(total, finer.shape[1::-1], interpolation=cv2.INTER_LINEAR) + (1 - FADED) * finer
    return stretched(total.sum(axis=2), 1, 99)


def _canny(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    channels = [cv2.Canny(np.ascontiguousarray(small[..., c]), CANNY_LOW, CANNY_HIGH) for c in range(3)]
    return np.stack(channels, axis=2).astype(np.float32) / 255


def greys(rng: random.Random, pixels: np.ndarray) -> np.ndarray:
    """A grey picture that tells colours apart by random weights.

    CPDS chooses its weights for each picture, which takes seconds; whatever they are, the network is to read them.
    """
    weights = np.array([rng.uniform(-0.3, 1) for _ in range(3)], np.float32)
    soft = cv2.GaussianBlur(pixels, (0, 0), 0.8).astype(np.float32)
    grey = soft @ weights
    distance = np.linalg.norm(soft - grey[..., None].clip(0, 255), axis=2)
    return stretched(grey + rng.random() * distance, 4, 96)


def stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Any numbers -> uint8 of the same shape, from the percentile `low` at 0 to `high` at 255."""
    bottom, top = np.percentile(values, (low, high))
    if top - bottom < 1e-5:
        return np.zeros(values.shape, np.uint8)
    return ((values - bottom) / (top - bottom) * 255).clip(0, 255).astype(np.uint8)
