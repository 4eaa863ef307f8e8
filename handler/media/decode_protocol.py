"""What the worker and its decoding process agree on: limits, verdicts and the layout of their messages."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

MAX_SIDE = 8192
"""Longest side of a user's image, pixels."""

MAX_PIXELS = 16_800_000
"""Most pixels of a user's image (4096 x 4096 fits)."""

SUPPORTED_FORMATS = ("png", "jpeg", "webp")

REQUEST = struct.Struct(">Q")
"""Length of the file in bytes; the file follows."""

RESPONSE = struct.Struct(">BBII")
"""Verdict, bands (3 RGB, 4 RGBA), width, height; for Verdict.OK the 8-bit pixels follow, row by row."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What decoding one image may use: address space in bytes, processor and wall clock in whole seconds.

    The kernel refuses the memory and ends the process that takes longer.
    """

    memory_bytes: int = 2**30
    cpu_s: int = 10
    wall_s: int = 15


class Verdict(IntEnum):
    OK = 0
    UNSUPPORTED = 1
    TOO_LARGE = 2
    DAMAGED = 3


def is_acceptable(width: int, height: int) -> bool:
    """Whether an image of this size is within the limits."""
    return 1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and width * height <= MAX_PIXELS
