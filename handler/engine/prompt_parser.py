r"""Emphasis in prompts, in the grammar of A1111 as Fooocus reads it.

`(text)` multiplies the weight by 1.1, `(text:1.5)` sets it for that group whatever surrounds it, `\(` and `\)` are
plain parentheses, square brackets mean nothing. After a closing parenthesis too many, groups are plain text until
an opening one too many makes up for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

STEP = 1.1
MAX_DEPTH = 50
"""Groups nested deeper are plain text: 1.1 to the 50th is already beyond MAX_WEIGHT."""
MAX_WEIGHT = 100.0
"""Weights are held within +-100; more would leave the range of float16."""

OPEN, CLOSE = "\ufdd0", "\ufdd1"
"""Stand in for escaped parentheses while groups are read; Unicode keeps these two free for such use."""


class Span(NamedTuple):
    """A piece of a prompt and the weight of its tokens."""

    text: str
    weight: float


def parse(prompt: str) -> list[Span]:
    """The prompt in order, without the parentheses that made the weights. `[]` for an empty prompt."""
    hidden = prompt.replace(r"\(", OPEN).replace(r"\)", CLOSE)
    return [Span(_shown(span.text), span.weight) for span in _spans(hidden, 1.0, 0)]


def _shown(text: str) -> str:
    return text.replace(OPEN, "(").replace(CLOSE, ")")


def _spans(text: str, weight: float, depth: int) -> Iterator[Span]:
    for piece in _pieces(text):
        if depth < MAX_DEPTH and piece.startswith("(") and piece.endswith(")"):
            inner = _group(piece[1:-1], weight)
            yield from _spans(inner.text, inner.weight, depth + 1)
        else:
            yield Span(piece, weight)


def _group(inner: str, outside: float) -> Span:
    """What stands in a pair of parentheses: its text and its weight, given or derived from the one outside."""
    text, _, number = inner.rpartition(":")
    given = _number(number) if text else None
    if given is None:
        return Span(inner, _held(outside * STEP))
    return Span(text, _held(given))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _held(weight: float) -> float:
    return max(-MAX_WEIGHT, min(MAX_WEIGHT, weight))


def _pieces(text: str) -> list[str]:
    """Cut the text before each `(` and after each `)` of the outermost level; parentheses stay on the pieces."""
    pieces: list[str] = []
    start = depth = 0
    for index, char in enumerate(text):
        if char == "(":
            if depth == 0:
                pieces.append(text[start:index])
                start = index
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                pieces.append(text[start : index + 1])
                start = index + 1
    return [piece for piece in (*pieces, text[start:]) if piece]
