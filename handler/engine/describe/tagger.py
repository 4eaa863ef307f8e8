"""Drawings into tags: SmilingWolf's WD14 tagger, an ONNX network with a table of tags beside it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from handler.engine.describe.files import FOLDER, find
from schemas.errors import ModelMissing

STEM = "wd-v1-4-moat-tagger-v2"
GENERAL, CHARACTER = 0, 4
"""Categories of the table; what belongs to another, such as the ratings, is no tag."""
THRESHOLDS = {CHARACTER: 0.85, GENERAL: 0.35}
"""What a tag's probability must exceed, and the order the categories come in."""
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Tag:
    """One row of the table, in the order of the network's outputs."""

    name: str
    category: int


class Tagger:
    """A loaded tagger. It computes on the CPU."""

    def __init__(self, session: Any, tags: Sequence[Tag], size: int = 0) -> None:
        """session: an onnxruntime.InferenceSession; one input [1, side, side, 3], one output [1, tags].

        size: bytes the network occupies.
        """
        self.bytes = size
        self._session = session
        self._tags = tags
        (self._input,) = session.get_inputs()

    @classmethod
    def load(cls, roots: Sequence[Path]) -> Tagger:
        """Load the tagger of the first models folder that has it. Raises ModelMissing when there is no usable one."""
        network, table = find(roots, "Describing drawings", (f"{STEM}.onnx",), (f"{STEM}.csv",))
        # Loaded on first use only: most workers never tag a picture.
        import onnxruntime

        try:
            session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
            return cls(session, read_tags(table), network.stat().st_size)
        except Exception as error:  # onnxruntime's own exceptions have no common base.
            raise ModelMissing(f"{FOLDER}/{network.name} cannot be used: it is no tagger of this kind") from error

    def tags(self, pixels: np.ndarray) -> str:
        """The tags of a picture, uint8 [h, w, 3]: characters first, separated by commas."""
        (scores,) = self._session.run(None, {self._input.name: prepared(pixels, self._input.shape[1])})
        return chosen(self._tags, scores[0])


def read_tags(table: Path) -> list[Tag]:
    """The rows of a CSV file with the columns `name` and `category`. Raises ValueError or KeyError for another."""
    with table.open(encoding="utf-8", newline="") as file:
        return [Tag(row["name"], int(row["category"])) for row in csv.DictReader(file)]


def prepared(pixels: np.ndarray, side: int) -> np.ndarray:
    """The network's input, float32 [1, side, side, 3]: fitted into a white square (Lanczos), BGR in 0..255."""
    picture = Image.fromarray(pixels)
    scale = side / max(picture.size)
    width, height = (max(1, int(length * scale)) for length in picture.size)
    square = Image.new("RGB", (side, side), WHITE)
    square.paste(picture.resize((width, height), Image.Resampling.LANCZOS), ((side - width) // 2, (side - height) // 2))
    return np.ascontiguousarray(np.asarray(square, dtype=np.float32)[None, :, :, ::-1])


def chosen(tags: Sequence[Tag], scores: np.ndarray) -> str:
    """The tags whose score [tags] is high enough, in the words of prompts. Raises ValueError for another table."""
    scored = list(zip(tags, scores.tolist(), strict=True))
    return ", ".join(
        _as_prompt(tag.name)
        for category, threshold in THRESHOLDS.items()
        for tag, score in scored
        if tag.category == category and score > threshold
    )


def _as_prompt(name: str) -> str:
    """Spaces for underscores; parentheses escaped, which weigh words in a prompt."""
    return name.replace("_", " ").replace("(", r"\(").replace(")", r"\)")
