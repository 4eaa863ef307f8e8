"""Training batches for the UNet: pinned latents, the texts that stand for them, and SDXL's size conditioning."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageChops

from builder.demo.captions import Example, fragment, sample, simple
from builder.demo.fillers import filler, wrapped
from builder.demo.train_vae import GAIN
from builder.demo.world import SHAPES, Scene, draw, mask

Size = tuple[int, int]
T = TypeVar("T")

# Latent (height, width) with the pictures in a batch of that size; a step costs about the same for each.
SMALL: dict[Size, int] = {(32, 32): 32, (24, 32): 40, (32, 24): 40, (40, 40): 20}
MIDDLE: dict[Size, int] = {(64, 64): 8, (48, 48): 14, (56, 72): 8, (72, 56): 8}
LARGE: dict[Size, int] = {(128, 128): 3, (112, 144): 3, (144, 112): 3, (96, 96): 5}
# Share of small, middle and large batches, from this part of the training on.
CURRICULUM = (
    (0.0, (1.0, 0.0, 0.0)),
    (0.35, (0.7, 0.3, 0.0)),
    (0.6, (0.65, 0.25, 0.1)),
    (0.9, (0.3, 0.4, 0.3)),
)
# Share of plain sentences, from this part of the training on, and of fragments; the rest is drawn from the whole
# grammar, with so many pairs.
SIMPLE = ((0.0, 1.0), (0.35, 0.55), (0.6, 0.08), (0.95, 0.15))
FRAGMENTS = 0.04
PAIRS = ((0.0, 0.15), (0.6, 0.7), (0.95, 0.4))
# Share of batches whose pictures may have two texts each, and of the pictures in these whose caption is only in the
# context: the pooled vector is an easier teacher, and what it tells is not learned from the cross-attention, by which
# image prompts and all further texts come.
SEVERAL = ((0.0, 0.35), (0.6, 0.6))
CONTEXT_ONLY = ((0.0, 0.0), (0.6, 0.55))
DRAW_SCALE = 4
# Share of pictures that no text describes. What is predicted without a text is subtracted under guidance: what it
# misses late in the sampling makes colours garish.
UNCONDITIONAL = ((0.0, 0.1), (0.95, 0.25))


@dataclass
class Batch:
    """`latents` (n, 4, h, w) in the UNet's units, texts per picture, `time_ids` (n, 6) in pixels.

    `others` are latents of the same scenes with other shapes, `silhouettes` (n, 1, h, w) say where shapes are.
    `pooled` says of how many leading texts of a picture the pooled vectors are added.
    """

    latents: torch.Tensor
    others: torch.Tensor
    silhouettes: torch.Tensor
    texts: list[list[str]]
    pooled: list[int]
    time_ids: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        names = ("latents", "others", "silhouettes", "time_ids")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def size_at(rng: random.Random, part: float) -> tuple[Size, int]:
    """A latent size and batch size for a step after `part` (0..1) of the training."""
    group = rng.choices((SMALL, MIDDLE, LARGE), current(CURRICULUM, part))[0]
    return rng.choice(tuple(group.items()))


def current(plan: tuple[tuple[float, T], ...], part: float) -> T:
    """What a plan of (from which part of the training on, what) says for `part` of it, 0..1."""
    return next(value for begin, value in reversed(plan) if part >= begin)


def batch_at(rng: random.Random, part: float, scale: int = 1) -> Batch:
    """The training batch for a step after `part` of the training. scale: how many times the usual pictures."""
    (height, width), count = size_at(rng, part)
    examples = [random_example(rng, part) for _ in range(count * scale)]
    latents = torch.stack([scene_latents(example.scene, width, height) for example in examples])
    others = torch.stack([scene_latents(other_shapes(rng, example.scene), width, height) for example in examples])
    silhouettes = torch.stack([scene_silhouette(example.scene, width, height) for example in examples])
    several, context_only = rng.random() < current(SEVERAL, part), current(CONTEXT_ONLY, part)
    told = [
        only_in_context(rng, example)
        if several and rng.random() < context_only
        else in_both(texts_for(rng, example, several, current(UNCONDITIONAL, part)), rng)
        for example in examples
    ]
    texts, pooled = [parts for parts, _ in told], [count for _, count in told]
    ids = torch.stack([time_ids(rng, height * 8, width * 8) for _ in examples])
    return Batch(latents, others, silhouettes, texts, pooled, ids)


def in_both(texts: list[str], rng: random.Random) -> tuple[list[str], int]:
    """Texts, and how many of them the pooled vector is made of: a prompt's expansion comes last and is left out."""
    return texts, 1 if rng.random() < 0.6 else len(texts)


def only_in_context(rng: random.Random, example: Example) -> tuple[list[str], int]:
    """Two texts for an example, of which the pooled vector is made of one that says nothing."""
    return [filler(rng, 3, 30) if rng.random() < 0.5 else "", example.caption], 1


def random_example(rng: random.Random, part: float) -> Example:
    """A plain sentence, now and then a fragment, else anything from the grammar."""
    kind, plain = rng.random(), current(SIMPLE, part)
    if kind < plain:
        return simple(rng)
    return fragment(rng) if kind < plain + FRAGMENTS else sample(rng, current(PAIRS, part))


def other_shapes(rng: random.Random, scene: Scene) -> Scene:
    """The scene with each shape of another kind."""
    kinds = [rng.choice([kind for kind in SHAPES if kind != shape.kind]) for shape in scene.shapes]
    return replace(scene, shapes=tuple(replace(s, kind=kind) for s, kind in zip(scene.shapes, kinds, strict=True)))


def scene_latents(scene: Scene, width: int, height: int) -> torch.Tensor:
    """Pinned latents (4, height, width) of a scene, drawn at a quarter of the picture's size per side."""
    picture = draw(scene, width * DRAW_SCALE, height * DRAW_SCALE, supersample=1)
    small = picture.resize((width, height), Image.Resampling.BOX)
    colours = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).float() / 127.5 - 1
    colours = colours * GAIN
    return torch.cat([colours, colours.mean(dim=0, keepdim=True)])


def scene_silhouette(scene: Scene, width: int, height: int) -> torch.Tensor:
    """How much of each place shapes cover, 0..1, (1, height, width)."""
    covered = Image.new("L", (width * DRAW_SCALE, height * DRAW_SCALE), 0)
    for shape in scene.shapes:
        covered = ImageChops.lighter(covered, mask(shape, *covered.size))
    small = covered.resize((width, height), Image.Resampling.BOX)
    return torch.from_numpy(np.asarray(small).copy())[None].float() / 255


def texts_for(rng: random.Random, example: Example, several: bool, unconditional: float) -> list[str]:
    """One text, or up to two, that stand for an example: bare, wrapped, joined by fillers, or none of it."""
    if rng.random() < unconditional:
        fillers = [filler(rng, 3, 40) if rng.random() < 0.55 else ""]
        return [*fillers, filler(rng, 3, 40)] if several else fillers
    caption = wrapped(rng, example.caption) if rng.random() < 0.4 else example.caption
    if not several or rng.random() < 0.3:
        return [caption]
    return [caption, wrapped(rng, example.caption) if rng.random() < 0.6 else filler(rng, 3, 30)]


def time_ids(rng: random.Random, height: int, width: int) -> torch.Tensor:
    """SDXL's six numbers; the original size is stretched by 0.8 to 1.5, as Fooocus's emphasis does."""
    stretch = 1.0 if rng.random() < 0.4 else rng.choice((0.8, 1.5, rng.uniform(0.8, 1.5)))
    target = (round(height / 64) * 64, round(width / 64) * 64)
    original = target if stretch == 1.0 else (int(height * stretch), int(width * stretch))
    return torch.tensor([*original, 0, 0, *target], dtype=torch.float32)
