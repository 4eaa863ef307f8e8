"""What the worker and its decoding process agree on: limits, verdicts and the layout of their messages."""

from __future__ import annotations

import struct
from enum import IntEnum

MAX_SIDE = 8192
"""Longest side of a user's image, pixels."""

MAX_PIXELS = 16_800_000
"""Most pixels of a user's image (4096 x 4096 fits)."""

MEMORY_BYTES = 2**30
CPU_SECONDS = 10
WALL_SECONDS = 15
"""What decoding one image may use; the kernel ends the process that asks for more."""

SUPPORTED_FORMATS = ("png", "jpeg", "webp")

REQUEST = struct.Struct(">Q")
"""Length of the file in bytes; the file follows."""

RESPONSE = struct.Struct(">BBII")
"""Verdict, bands (3 RGB, 4 RGBA), width, height; for Verdict.OK the 8-bit pixels follow, row by row."""


class Verdict(IntEnum):
    OK = 0
    UNSUPPORTED = 1
    TOO_LARGE = 2
    DAMAGED = 3


def is_acceptable(width: int, height: int) -> bool:
    """Whether an image of this size is within the limits."""
    return 1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and width * height <= MAX_PIXELS
