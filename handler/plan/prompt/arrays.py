"""`[[a,b,c]]` arrays: each image of a request takes the next combination of items."""

from __future__ import annotations

import re

_ARRAY = re.compile(r"\[\[(.*?)\]\]")


def apply_arrays(text: str, index: int) -> str:
    """Replace each array of `text` by one item; the first array varies fastest, combinations wrap around."""

    def pick(match: re.Match[str]) -> str:
        nonlocal index
        items = match[1].split(",")
        index, item = divmod(index, len(items))
        return items[item]

    return _ARRAY.sub(pick, text)
