"""Drawn pictures with the words that describe them, for the captioner and the tagger."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageFilter

from builder.demo.captions import PLACE_WORDS, Example, article, sample, simple
from builder.demo.world import SHAPES, Background, Scene, Shape, draw, mask

# What the pictures are drawn at: the proportions of real ones, before they are squeezed into a square.
DRAWN = ((96, 96), (112, 88), (88, 112), (120, 80), (80, 120))
PLAIN = 0.7  # share of plain sentences; the rest is from the whole grammar
SOFT, NOISY = 0.3, 0.3  # shares of pictures that are blurred, and that are noisy, as sampled ones are
FIELD_COVERED = 50  # of 255, for a field to belong to a shape
HELD_OUT_SEED = "held out pictures to describe"


def random_examples(rng: random.Random, count: int) -> list[Example]:
    """Scenes to describe."""
    return [simple(rng) if rng.random() < PLAIN else sample(rng) for _ in range(count)]


def held_out(count: int) -> dict[str, list[Example]]:
    """The same `count` scenes each time, of the whole grammar, of one shape only, and of plain sentences."""
    rng = random.Random(HELD_OUT_SEED)
    whole = [sample(rng) for _ in range(count)]
    one = [example for example in whole if len(example.scene.shapes) == 1]
    return {"whole grammar": whole, "one shape": one, "plain sentences": [simple(rng) for _ in range(count)]}


def pictures(rng: random.Random, examples: list[Example], side: int) -> torch.Tensor:
    """The scenes drawn, squeezed into squares and a little spoilt: uint8 (n, side, side, 3)."""
    return views(rng, examples, side, 1)[0]


def views(rng: random.Random, examples: list[Example], side: int, grid: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures as `pictures` gives them, and whose each of their fields is: numbers (n, grid, grid), see `owners`."""
    scenes = [(example.scene, rng.choice(DRAWN)) for example in examples]
    drawn = [_spoilt(rng, squeezed(draw(scene, *size, supersample=1), side)) for scene, size in scenes]
    places = [owners(scene, size, grid) for scene, size in scenes]
    return torch.from_numpy(np.stack(drawn)), torch.from_numpy(np.stack(places))


def owners(scene: Scene, size: tuple[int, int], grid: int) -> np.ndarray:
    """Whose each of (grid, grid) fields of a picture is: 0 the background's, from 1 on one of the scene's shapes'."""
    found = np.zeros((grid, grid), dtype=np.int64)
    for number, shape in enumerate(scene.shapes, start=1):
        covered = mask(shape, *size).resize((grid, grid), Image.Resampling.BOX)
        found[np.asarray(covered) > FIELD_COVERED] = number
    return found


def of_owners(places: torch.Tensor, examples: list[Example], value: Callable[[Shape], int], none: int) -> torch.Tensor:
    """A number for each field: `value` of the shape it belongs to, `none` for the background."""
    rows = [[none, *map(value, example.scene.shapes)] for example in examples]
    return torch.stack([torch.tensor(row)[place] for row, place in zip(rows, places, strict=True)])


def kind_number(shape: Shape) -> int:
    """From 1 on; 0 is the background."""
    return 1 + SHAPES.index(shape.kind)


def squeezed(picture: Image.Image, side: int) -> Image.Image:
    """A square of `side` pixels without a crop, bicubic."""
    return picture.resize((side, side), Image.Resampling.BICUBIC)


def _spoilt(rng: random.Random, picture: Image.Image) -> np.ndarray:
    if rng.random() < SOFT:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0)))
    pixels = np.asarray(picture).astype(np.float32)
    if rng.random() < NOISY:
        pixels += np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(2, 10), pixels.shape)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def caption(scene: Scene) -> str:
    """The sentence that says everything about a scene; what is usual (medium, flat, centred) goes unsaid.

    Of two shapes the upper or left one comes first.
    """
    in_order = sorted(scene.shapes, key=lambda shape: (shape.y, shape.x))
    words = " and ".join(_thing(shape, len(in_order)) for shape in in_order)
    return f"{words} on {ground(scene.background)}"


def _thing(shape: Shape, shapes: int) -> str:
    size = _size(shape) if shapes == 1 else ""
    style = "" if shape.style == "flat" else shape.style
    words = " ".join(word for word in (style, size, shape.colour, shape.kind) if word)
    place = _place(shape)
    return article(words) if place == "center" else f"{article(words)} {PLACE_WORDS[place]}"


def _size(shape: Shape) -> str:
    return "small" if shape.diameter < 0.37 else "large" if shape.diameter > 0.57 else ""


def _place(shape: Shape) -> str:
    """Where a shape's centre is, as the grammar says it; a large one in a corner is not quite in the corner."""
    row = "top" if shape.y < 0.44 else "bottom" if shape.y > 0.56 else ""
    column = "left" if shape.x < 0.44 else "right" if shape.x > 0.56 else ""
    return " ".join(word for word in (row, column) if word) or "center"


def ground(background: Background) -> str:
    """The words for a background."""
    if background.kind == "plain":
        return f"{article(background.colour)} background"
    between, kind = ("to", "gradient") if background.kind == "gradient" else ("and", background.kind)
    return f"{article(background.colour)} {between} {background.second} {kind} background"
