"""Prompt lines: the first is the main prompt, the others are extra texts of their own."""

from __future__ import annotations

import re

_SPACES = re.compile(r" +")


def clean_line(line: str) -> str:
    """Collapse runs of spaces; strip commas, dots, spaces and line ends from both ends."""
    return _SPACES.sub(" ", line).strip(",. \r\n")


def split_lines(text: str) -> tuple[str, tuple[str, ...]]:
    """Return (main line, extra lines) of a prompt, cleaned, empty lines dropped."""
    lines = [cleaned for line in text.splitlines() if (cleaned := clean_line(line))]
    return (lines[0], tuple(lines[1:])) if lines else ("", ())
