"""A small byte-level BPE tokenizer of our own, written in CLIP's file format.

Vocabulary as in CLIP: 256 byte characters, the same with the end-of-word mark, one entry per merge, and last
`<|startoftext|>` and `<|endoftext|>`. Every byte is covered, so any prompt can be encoded.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from builder.demo.captions import PLACE_WORDS, PREFIXES, RELATIONS
from builder.demo.fillers import WORDS
from builder.demo.world import BACKGROUNDS, COLOURS, SHAPES, SIZES, STYLES

END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
WORLD_WORDS = ("a", "an", "and", "on", "to", "background", "shape", *COLOURS, *SHAPES, *SIZES, *STYLES, *BACKGROUNDS)
# A word of the world counts this often, so that it ends up as one token whatever else is in the corpus.
WORLD_COUNT = 1000
MAX_MERGES = 1400

Pair = tuple[str, str]


@lru_cache
def byte_characters() -> dict[int, str]:
    """The visible character that stands for each byte: itself if printable, else one from U+0100 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def corpus() -> Counter[str]:
    """Words with their weights: the world's vocabulary first, then plain English."""
    sentences = (*PREFIXES, *PLACE_WORDS.values(), *RELATIONS.values())
    counts = Counter(WORDS)
    for word in {*WORLD_WORDS, *(word for sentence in sentences for word in sentence.split())}:
        counts[word] += WORLD_COUNT
    return counts


def learn_merges(counts: Counter[str], limit: int = MAX_MERGES) -> list[Pair]:
    """Byte-pair merges, most frequent first (ties in alphabetical order), until every word is one token."""
    words = {(*word[:-1], word[-1] + END_OF_WORD): count for word, count in counts.items()}
    merges: list[Pair] = []
    while len(merges) < limit and (pairs := _pair_counts(words)):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {_merge(word, best): count for word, count in words.items()}
    return merges


def _pair_counts(words: dict[tuple[str, ...], int]) -> Counter[Pair]:
    pairs: Counter[Pair] = Counter()
    for word, count in words.items():
        for pair in pairwise(word):
            pairs[pair] += count
    return pairs


def _merge(word: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
    merged: list[str] = []
    i = 0
    while i < len(word):
        if word[i : i + 2] == pair:
            merged.append(pair[0] + pair[1])
            i += 2
        else:
            merged.append(word[i])
            i += 1
    return tuple(merged)


def vocabulary(merges: list[Pair]) -> dict[str, int]:
    """Token to id, in CLIP's order."""
    characters = list(byte_characters().values())
    tokens = [*characters, *(c + END_OF_WORD for c in characters), *(a + b for a, b in merges), START, END]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


@lru_cache
def _files() -> tuple[str, str]:
    merges = learn_merges(corpus())
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    return json.dumps(vocabulary(merges), ensure_ascii=False) + "\n", "\n".join(lines) + "\n"


def write(folder: Path, pad_token: str) -> None:
    """Write vocab.json, merges.txt and the two configuration files of a `CLIPTokenizer` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab, merges = _files()
    special = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": pad_token}
    config = {**special, "tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, "do_lower_case": True}
    (folder / "vocab.json").write_text(vocab, encoding="utf-8")
    (folder / "merges.txt").write_text(merges, encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> CLIPTokenizer:
    """Read a tokenizer written by `write`, without any network."""
    return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


def size() -> int:
    """Number of tokens in the vocabulary."""
    return len(json.loads(_files()[0]))


def words_of(text: str) -> list[str]:
    """The words of a caption, lower case, without punctuation."""
    return re.findall(r"[a-z]+", text.lower())
