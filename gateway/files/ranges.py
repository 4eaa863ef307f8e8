"""The Range header, RFC 9110 section 14: one range is served; what is more or not understood gets the whole."""

from __future__ import annotations

import re

_ONE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE | re.ASCII)


class Unsatisfiable(ValueError):
    """The range starts behind the end: status 416."""


def read_range(header: str | None, size: int) -> range | None:
    """Positions of the bytes asked for, None for all of them. Raises Unsatisfiable."""
    match = _ONE.fullmatch(header or "")
    if not match or not (match[1] or match[2]):
        return None
    if not match[1]:
        last = int(match[2])
        return _within(max(size - last, 0) if last else size, size, size)
    start, last = int(match[1]), int(match[2]) if match[2] else None
    return None if last is not None and last < start else _within(start, size if last is None else last + 1, size)


def _within(start: int, end: int, size: int) -> range:
    if start >= size:
        raise Unsatisfiable
    return range(start, min(end, size))
