"""What the engine tells its caller while it samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class Interrupted(Exception):
    """Raised by a step callback to stop the job; nothing stays patched."""


@dataclass(frozen=True)
class Step:
    """One finished sampler step.

    image of images (from 0), step of steps (from 1); preview() renders the present guess as a small JPEG.
    """

    image: int
    images: int
    step: int
    steps: int
    preview: Callable[[], bytes]


OnStep = Callable[[Step], None]
