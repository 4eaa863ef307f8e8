"""Scores of what a prompt's neighbours do: negative prompts, and the bundle's style LoRAs."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from builder.demo import loras
from builder.demo.bundle import FOLDER
from builder.demo.captions import Example
from builder.demo.judge import colour_shares, read
from builder.demo.networks import Networks
from builder.demo.sampling import SPEED, Mode
from builder.demo.score import held_out, pictures
from builder.demo.world import COLOURS, SHAPES, Shape, mask

PRESENT = 0.02  # of the picture, for a colour to count as there
BAND = (0.52, 0.62)  # where a style shows: from this to that part of the shape's diameter away from its centre line


def negatives(networks: Networks, side: int, seeds: int, mode: Mode = SPEED) -> dict[str, float]:
    """Captions without a colour for their shape: how often naming its commonest colour as a negative prompt removes it.

    `removed` is the share, 0..1, of pictures in which it was there without the negative prompt and then no more.
    """
    removed = there = 0
    for kind in SHAPES:
        captions = [f"a {kind} on a white background"] * seeds
        without = [_shape_colour(picture) for picture in pictures(networks, captions, side, side, 0, mode)]
        commonest = Counter(colour for colour in without if colour).most_common(1)[0][0]
        named = pictures(networks, captions, side, side, 0, mode, commonest)
        shares = [colour_shares(picture)[commonest] for picture in named]
        pairs = [share for share, colour in zip(shares, without, strict=True) if colour == commonest]
        there += len(pairs)
        removed += sum(share < PRESENT for share in pairs)
    return {"removed": removed / max(1, there), "pictures": there}


def _shape_colour(picture: Image.Image) -> str | None:
    shapes = read(picture).shapes
    return shapes[0].colour if shapes else None


def styles(networks: Networks, side: int, captions: int, folder: Path = FOLDER) -> dict[str, dict[str, float]]:
    """For each style LoRA, at several weights, how far the band around a shape is from the background (0..441)."""
    examples = held_out(captions, plain=True)
    found: dict[str, dict[str, float]] = {}
    for name in loras.STYLES:
        found[name] = {}
        for weight in (0.0, 0.5, 1.0):
            patched = copy.deepcopy(networks)
            loras.merge(patched.unet, folder / "loras" / f"{name}.safetensors", weight)
            drawn = pictures(patched, [example.caption for example in examples], side, side, 0)
            effects = [band(example, picture) for example, picture in zip(examples, drawn, strict=True)]
            found[name][str(weight)] = float(np.mean(effects))
    return found


def band(example: Example, picture: Image.Image) -> float:
    """Mean distance in RGB between the background's colour and a band just outside the shape's outline."""
    shape = example.scene.shapes[0]
    inner, outer = (_grown(shape, share, picture.size) for share in BAND)
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32)
    away = np.linalg.norm(pixels - COLOURS[example.scene.background.colour], axis=-1)
    return float(away[outer & ~inner].mean())


def _grown(shape: Shape, share: float, size: tuple[int, int]) -> np.ndarray:
    larger = Shape(shape.kind, shape.colour, shape.x, shape.y, shape.diameter * share * 2)
    return np.asarray(mask(larger, *size)) > 0
