"""Scores: sample held-out captions, read the pictures with the judge, count what is right."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from builder.demo.captions import Example, sample, simple
from builder.demo.judge import Reading, Seen, read
from builder.demo.networks import Networks
from builder.demo.sampling import SPEED, Mode, decode, sample_latents
from builder.demo.world import Shape

HELD_OUT_SEED = "held out"
NEAR = 0.12  # a centre this close, in parts of the picture, is in its place
BATCH = 4


@dataclass
class Score:
    """Counts of right answers over counts of questions."""

    right: Counter[str]
    asked: Counter[str]

    def shares(self) -> dict[str, float]:
        """Share right of each question, 0..1."""
        return {name: self.right[name] / count for name, count in self.asked.items()}


def held_out(count: int, plain: bool = False) -> list[Example]:
    """The same `count` captions each time, on plain backgrounds, with shape, colour and background named.

    They are drawn from the whole grammar, or are plain sentences only.
    """
    rng = random.Random(HELD_OUT_SEED)
    chosen: list[Example] = []
    while len(chosen) < count:
        example = simple(rng) if plain else sample(rng)
        if _complete(example):
            chosen.append(example)
    return chosen


def _complete(example: Example) -> bool:
    needed = ["shape", "colour", "background"]
    needed += ["shape2", "colour2"] if len(example.scene.shapes) == 2 else []
    return example.scene.background.kind == "plain" and all(name in example.named for name in needed)


def mark(example: Example, reading: Reading, score: Score) -> None:
    """Compare one reading with what the caption asked for."""
    _count(score, "background", reading.background == example.scene.background.colour)
    group = "one shape" if len(example.scene.shapes) == 1 else "two shapes"
    for shape in example.scene.shapes:
        seen = _nearest(shape, reading)
        answers = {
            "colour": seen is not None and seen.colour == shape.colour,
            "shape": seen is not None and seen.kind == shape.kind,
            "position": seen is not None and abs(seen.x - shape.x) <= NEAR and abs(seen.y - shape.y) <= NEAR,
        }
        for name, right in answers.items():
            _count(score, name, right)
            _count(score, f"{name}, {group}", right)


def _count(score: Score, name: str, right: bool) -> None:
    score.asked[name] += 1
    score.right[name] += right


def _nearest(shape: Shape, reading: Reading) -> Seen | None:
    return min(reading.shapes, key=lambda seen: abs(seen.x - shape.x) + abs(seen.y - shape.y), default=None)


def pictures(
    networks: Networks,
    captions: list[str],
    width: int,
    height: int,
    seed: int,
    mode: Mode = SPEED,
    negative: str = "",
) -> Iterator[Image.Image]:
    """Sample one picture per caption."""
    for start in range(0, len(captions), BATCH):
        texts = [[caption] for caption in captions[start : start + BATCH]]
        negatives = [[negative]] * len(texts)
        yield from decode(networks, sample_latents(networks, texts, height, width, seed + start, mode, negatives))


def score(
    networks: Networks, examples: list[Example], width: int, height: int, seeds: int = 1, mode: Mode = SPEED
) -> Score:
    """Score captions at one picture size, each with `seeds` seeds."""
    total = Score(Counter(), Counter())
    for seed in range(seeds):
        drawn = pictures(networks, [e.caption for e in examples], width, height, seed * 100_003, mode)
        for example, picture in zip(examples, drawn, strict=True):
            mark(example, read(picture), total)
    return total
