"""Prompts as CLIP's input: words to token ids, words packed into chunks of 77."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transformers import CLIPTokenizer

from handler.engine.prompt_parser import parse

log = logging.getLogger(__name__)

CHUNK = 77
ROOM = CHUNK - 2
"""Tokens of text in a chunk, between the begin and end tokens."""
SPLITTABLE = 8
"""A word of so many tokens may be cut by the end of a chunk; a shorter one moves on whole."""

EMBEDDING = "embedding:"
CJK = re.compile(
    "([\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002ceaf\U0002f800-\U0002fa1f])"
)


class Vector(NamedTuple):
    """A token that a textual inversion file gives: row `row` of the embedding `name`."""

    name: str
    row: int


Token = int | Vector
CountVectors = Callable[[str], int]
"""How many vectors the embedding of a name has for one encoder; 0 when there is none."""


@dataclass(frozen=True)
class Chunk:
    """77 tokens and the weight of each, from the begin token through the padding."""

    tokens: tuple[Token, ...]
    weights: tuple[float, ...]

    @property
    def weighted(self) -> bool:
        return any(weight != 1.0 for weight in self.weights)


class Word(NamedTuple):
    tokens: tuple[Token, ...]
    weight: float


def chunks(prompt: str, tokenizer: CLIPTokenizer, count_vectors: CountVectors = lambda name: 0) -> list[Chunk]:
    """The prompt as at least one chunk."""
    return pack(_words(prompt, tokenizer, count_vectors), tokenizer)


def empty_chunk(tokenizer: CLIPTokenizer) -> Chunk:
    """The one chunk of an empty prompt."""
    return pack([], tokenizer)[0]


def pack(words: Iterable[Word], tokenizer: CLIPTokenizer) -> list[Chunk]:
    """Fill chunks with words; begin, end and padding tokens are the tokenizer's and weigh 1."""
    rows: list[list[tuple[Token, float]]] = [[]]
    for word in words:
        rest = [(token, word.weight) for token in word.tokens]
        while len(rest) > (room := ROOM - len(rows[-1])):
            taken = room if len(word.tokens) >= SPLITTABLE else 0
            rows[-1].extend(rest[:taken])
            rest = rest[taken:]
            rows.append([])
        rows[-1].extend(rest)
    return [_closed(row, tokenizer) for row in rows if row or len(rows) == 1]


def _closed(row: Sequence[tuple[Token, float]], tokenizer: CLIPTokenizer) -> Chunk:
    padding = ROOM - len(row)
    tokens = (tokenizer.bos_token_id, *(token for token, _ in row), tokenizer.eos_token_id)
    weights = (1.0, *(weight for _, weight in row), 1.0)
    return Chunk(tokens + (tokenizer.pad_token_id,) * padding, weights + (1.0,) * padding)


def _words(prompt: str, tokenizer: CLIPTokenizer, count_vectors: CountVectors) -> list[Word]:
    atoms = [
        (atom, span.weight)
        for span in parse(prompt)
        for part in re.split("[ \n]+", span.text)
        for atom in _atoms(part, count_vectors)
    ]
    texts = [_clean(atom) for atom, _ in atoms if isinstance(atom, str)]
    # Special tokens are split: a prompt is text, and CLIP-G's padding token is an ordinary "!".
    options = {"add_special_tokens": False, "split_special_tokens": True}
    ids = iter(tokenizer(texts, **options).input_ids if texts else ())
    return [Word(tuple(next(ids)) if isinstance(atom, str) else atom, weight) for atom, weight in atoms]


def _atoms(part: str, count_vectors: CountVectors) -> list[str | tuple[Vector, ...]]:
    """A word as it is, or the vectors of `embedding:NAME` and the commas that followed; [] for nothing."""
    if not part.startswith(EMBEDDING):
        return [part] if part else []
    whole = part.removeprefix(EMBEDDING)
    bare = whole.rstrip(",")
    name = whole if count_vectors(whole) else bare
    vectors = tuple(Vector(name, row) for row in range(count_vectors(name)))
    if not vectors:
        log.warning("a prompt names an embedding that is not installed for this model")
    return [atom for atom in (vectors, whole.removeprefix(name)) if atom]


def _clean(text: str) -> str:
    """Drop invisible characters and set ideographs apart, as CLIP's first tokenizer did."""
    visible = "".join(char for char in text if char.isspace() or not unicodedata.category(char).startswith("C"))
    return CJK.sub(r" \1 ", visible)
