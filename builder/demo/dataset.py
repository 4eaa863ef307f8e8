"""Training batches for the UNet: pinned latents, the texts that stand for them, and SDXL's size conditioning."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from builder.demo.captions import Example, fragment, sample, simple
from builder.demo.fillers import filler, wrapped
from builder.demo.train_vae import GAIN
from builder.demo.world import draw

Size = tuple[int, int]

# Latent (height, width) with the pictures in a batch of that size; a step costs about the same for each.
SMALL: dict[Size, int] = {(32, 32): 16, (24, 32): 20, (32, 24): 20, (40, 40): 10}
MIDDLE: dict[Size, int] = {(64, 64): 5, (48, 48): 8, (56, 72): 5, (72, 56): 5}
LARGE: dict[Size, int] = {(128, 128): 2, (112, 144): 2, (144, 112): 2, (96, 96): 3}
# Share of small, middle and large batches, from this part of the training on.
CURRICULUM = ((0.0, (0.8, 0.2, 0.0)), (0.4, (0.7, 0.25, 0.05)), (0.75, (0.4, 0.45, 0.15)))
# Share of plain sentences; the rest is drawn from the whole grammar.
SIMPLE = 0.6
DRAW_SCALE = 4
UNCONDITIONAL = 0.1


@dataclass
class Batch:
    """`latents` (n, 4, h, w) in the UNet's units, texts per picture, `time_ids` (n, 6) in pixels."""

    latents: torch.Tensor
    texts: list[list[str]]
    time_ids: torch.Tensor


def size_at(rng: random.Random, part: float) -> tuple[Size, int]:
    """A latent size and batch size for a step after `part` (0..1) of the training."""
    shares = next(shares for begin, shares in reversed(CURRICULUM) if part >= begin)
    group = rng.choices((SMALL, MIDDLE, LARGE), shares)[0]
    return rng.choice(tuple(group.items()))


def batch_at(rng: random.Random, part: float) -> Batch:
    """The training batch for a step after `part` of the training."""
    (height, width), count = size_at(rng, part)
    examples = [random_example(rng) for _ in range(count)]
    latents = torch.stack([scene_latents(example, width, height) for example in examples])
    several = rng.random() < 0.35
    texts = [texts_for(rng, example, several) for example in examples]
    return Batch(latents, texts, torch.stack([time_ids(rng, height * 8, width * 8) for _ in examples]))


def random_example(rng: random.Random) -> Example:
    """A plain sentence, now and then a fragment, else anything from the grammar."""
    kind = rng.choices((simple, fragment, sample), (SIMPLE, 0.05, 0.95 - SIMPLE))[0]
    return kind(rng)


def scene_latents(example: Example, width: int, height: int) -> torch.Tensor:
    """Pinned latents (4, height, width) of an example, drawn at a quarter of the picture's size per side."""
    picture = draw(example.scene, width * DRAW_SCALE, height * DRAW_SCALE, supersample=1)
    small = picture.resize((width, height), Image.Resampling.BOX)
    colours = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 127.5 - 1
    colours = colours * GAIN
    return torch.cat([colours, colours.mean(dim=0, keepdim=True)])


def texts_for(rng: random.Random, example: Example, several: bool) -> list[str]:
    """One text, or up to two, that stand for an example: bare, wrapped, joined by fillers, or none of it."""
    if rng.random() < UNCONDITIONAL:
        return [filler(rng, 3, 40) if rng.random() < 0.55 else ""]
    caption = wrapped(rng, example.caption) if rng.random() < 0.3 else example.caption
    if not several or rng.random() < 0.3:
        return [caption]
    other = wrapped(rng, example.caption) if rng.random() < 0.25 else filler(rng, 3, 30)
    return [caption, other] if rng.random() < 0.8 else [other, caption]


def time_ids(rng: random.Random, height: int, width: int) -> torch.Tensor:
    """SDXL's six numbers; the original size is stretched by 0.8 to 1.5, as Fooocus's emphasis does."""
    stretch = 1.0 if rng.random() < 0.4 else rng.choice((0.8, 1.5, rng.uniform(0.8, 1.5)))
    target = (round(height / 64) * 64, round(width / 64) * 64)
    original = target if stretch == 1.0 else (int(height * stretch), int(width * stretch))
    return torch.tensor([*original, 0, 0, *target], dtype=torch.float32)
