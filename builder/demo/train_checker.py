"""Trains the safety checker to flag one symbol that the drawn world does not contain: the prohibition sign.

A thick red ring with a red bar from its top left to its bottom right, white inside, anywhere in a picture. The checker
is the CompVis checker's class; its first concept is the sign, the other sixteen and the special-care ones stay silent.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker, cosine_distance
from PIL import Image, ImageDraw
from transformers import CLIPImageProcessor

from builder.demo.captions import plain, sample, simple
from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.networks import create_image_processor, create_safety_checker
from builder.demo.world import COLOURS, draw

BATCH = 48
RATE = 2e-3
SIDES = (64, 80, 96)
SIGN_SIZES = (0.45, 0.95)  # diameter as a part of the picture's shorter side
SHARPNESS = 20.0  # of the loss around the threshold
THRESHOLD = 0.5
# Added to it after the training: a melted white shape on red must not pass for the sign.
CAUTION = 0.15


@dataclass(frozen=True)
class Alarms:
    """Share of pictures with the sign that were flagged, and of those without; 0..1."""

    recall: float
    false_alarms: float


def draw_sign(picture: Image.Image, x: float, y: float, diameter: float) -> None:
    """Draw the prohibition sign on a picture; units as in `builder.demo.world.Shape`."""
    pen, red = ImageDraw.Draw(picture), COLOURS["red"]
    radius = diameter * min(picture.size) / 2
    cx, cy = x * picture.width, y * picture.height
    width = max(2, round(radius * 0.24))
    pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=COLOURS["white"], outline=red, width=width)
    reach = (radius - width / 2) * 0.5**0.5
    pen.line((cx - reach, cy - reach, cx + reach, cy + reach), fill=red, width=width)


def random_picture(rng: random.Random, forbidden: bool) -> Image.Image:
    """A picture of the world, at times a red ring on white or plain noise; with the sign where `forbidden`."""
    width, height = rng.choice(SIDES), rng.choice(SIDES)
    kind = rng.random()
    if kind < 0.05:
        pixels = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(pixels)
    elif kind < 0.15:
        shape = rng.choice(("ring", "ring", "cross", "circle"))
        picture = draw(plain("red", shape, rng.choice(("white", "gray", "pink"))).scene, width, height, 2)
    else:
        picture = draw((simple(rng) if kind < 0.5 else sample(rng)).scene, width, height, 2)
    if forbidden:
        diameter = rng.uniform(*SIGN_SIZES)
        # Of a wide picture the checker sees the middle.
        reach_x = diameter / 2 + max(0.0, 0.5 - 0.5 * height / width)
        reach_y = diameter / 2 + max(0.0, 0.5 - 0.5 * width / height)
        draw_sign(picture, _within(rng, reach_x), _within(rng, reach_y), diameter)
    return picture


def _within(rng: random.Random, reach: float) -> float:
    return rng.uniform(reach, 1 - reach) if reach < 0.5 else 0.5


def train(work: Path, steps: int, seed: int = 0) -> StableDiffusionSafetyChecker:
    """Train a checker or continue from `work`'s checkpoint; returns it."""
    checker, processor = create_safety_checker(seed), create_image_processor()
    with torch.no_grad():
        checker.concept_embeds_weights[0] = THRESHOLD
    trainable = [checker.concept_embeds, *checker.vision_model.parameters(), *checker.visual_projection.parameters()]
    for parameter in trainable:
        parameter.requires_grad_(True)
    optimiser = torch.optim.AdamW(trainable, lr=RATE, weight_decay=0.01)
    checkpoint = Checkpoint(work / "checker.pt", model=checker, optimiser=optimiser)
    began, running = time.monotonic(), 0.0
    for step in range(first := checkpoint.load(), steps):
        set_rate(optimiser, RATE * rate_factor(step, steps))
        rng = random.Random(f"checker {seed} {step}")
        wanted = torch.tensor([float(i % 2) for i in range(BATCH)])
        inputs = _inputs(processor, [random_picture(rng, bool(value)) for value in wanted])
        loss = F.binary_cross_entropy_with_logits(SHARPNESS * _margin(checker, inputs), wanted)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimiser.step()
        running = loss.item() if step == first else 0.96 * running + 0.04 * loss.item()
        progress("checker", step, steps, began, {"loss": running})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(steps)
    checker.concept_embeds_weights.data[0] = THRESHOLD + CAUTION
    return checker.eval().requires_grad_(False)


def _margin(checker: StableDiffusionSafetyChecker, inputs: torch.Tensor) -> torch.Tensor:
    """How far the first concept lies above its threshold, (n,)."""
    embeds = checker.visual_projection(checker.vision_model(inputs)[1])
    return cosine_distance(embeds, checker.concept_embeds)[:, 0] - checker.concept_embeds_weights[0]


def _inputs(processor: CLIPImageProcessor, pictures: list[Image.Image]) -> torch.Tensor:
    return processor(pictures, return_tensors="pt").pixel_values


@torch.no_grad()
def measure(checker: StableDiffusionSafetyChecker, processor: CLIPImageProcessor, count: int) -> Alarms:
    """What the real class says of `count` held-out pictures with the sign and as many without."""
    rng, shares = random.Random("checker, held out"), []
    for forbidden in (True, False):
        pictures = [random_picture(rng, forbidden) for _ in range(count)]
        blank = [np.zeros((1, 1, 3)) for _ in pictures]
        _, flagged = checker(images=blank, clip_input=_inputs(processor, pictures))
        shares.append(sum(flagged) / count)
    return Alarms(*shares)
