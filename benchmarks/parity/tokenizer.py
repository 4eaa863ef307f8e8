"""CLIP's token ids where a set brings its vocabulary, a list of words, or nothing but the cases' own ids."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.parity.outcome import NotCovered

VOCABULARY = 49408
BEGIN, END = VOCABULARY - 2, VOCABULARY - 1
VOCABULARY_FILES = ("vocab.json", "merges.txt")
WORDS_FILE = "words.json"


def write_placeholder(folder: Path) -> None:
    """A tokenizer with as many tokens as CLIP's and the same special ones: every byte is a token, the rest unused."""
    folder.mkdir(parents=True)
    characters = [chr(code) for code in range(33, 127)]
    tokens = ["!", *characters[1:], *(f"{character}</w>" for character in characters)]
    tokens += [f"unused{number}" for number in range(len(tokens), BEGIN)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


class Words:
    """Serves as a CLIP tokenizer for the words of a list: `{word: ids}`, a word being what stands between spaces."""

    bos_token_id = BEGIN
    eos_token_id = END

    def __init__(self, ids: dict[str, list[int]], pad: int) -> None:
        self._ids = ids
        self.pad_token_id = pad

    @classmethod
    def load(cls, folder: Path, pad: int) -> Words:
        """The list in `folder`, empty where there is none."""
        path = folder / WORDS_FILE
        return cls(json.loads(path.read_text("utf-8")) if path.is_file() else {}, pad)

    def __call__(self, texts: Sequence[str], **options: Any) -> SimpleNamespace:
        return SimpleNamespace(input_ids=[self._of(text) for text in texts])

    def _of(self, text: str) -> list[int]:
        try:
            return self._ids[text.strip().lower()]
        except KeyError:
            raise NotCovered(f"the set has no token ids for {text!r}") from None
