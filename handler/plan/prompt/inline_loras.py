"""`<lora:NAME:WEIGHT>` tags in the main prompt line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

NamedLora = tuple[str, float]

_TAG = re.compile(r"<lora:([^:]+):([+-]?(?:\d+\.?\d*|\.\d+))>")
_COMMAS = re.compile(r"\s*,\s*(?:,\s*)*")


def extract_loras(
    prompt: str, loras: Sequence[NamedLora], files: Sequence[str], limit: int = 5
) -> tuple[list[NamedLora], str]:
    """Return (the LoRAs of the request followed by those of the tags, the prompt without tags).

    A tag names a file of `files` by its stem; tags that name none are dropped silently, as is a file the
    request already uses, and a repeated (file, weight) pair. When any tag was taken, entries called "None"
    go and the list is cut to `limit`.
    """
    stems = {PurePath(file).stem: file for file in reversed(files)}
    used = {name for name, _ in loras}
    found: list[NamedLora] = []
    for name, weight in _TAG.findall(prompt):
        pair = (stems.get(name, ""), float(weight))
        if pair[0] and pair[0] not in used and pair not in found:
            found.append(pair)
    result = list(loras)
    if found:
        result = [*(item for item in loras if item[0] != "None"), *found][:limit]
    return result, _tidy(_TAG.sub("", prompt))


def _tidy(prompt: str) -> str:
    pieces = (" ".join(piece.split()) for piece in _COMMAS.split(prompt))
    return ", ".join(piece for piece in pieces if piece)
