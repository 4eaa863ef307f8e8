"""Trains the Control-LoRAs: edges (PyraCanny) or grey pictures (CPDS) say where what is, the text in which colours.

The scenes come from a pool whose hints are made once; every step colours them anew.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from builder.demo import control_lora, hints
from builder.demo.captions import MIN_COLOUR_DISTANCE, article, sample
from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.control_lora import ControlLora
from builder.demo.dataset import scene_latents
from builder.demo.networks import Networks
from builder.demo.noisy import conditions, noised
from builder.demo.world import COLOURS, SHAPES, Background, Scene, colour_distance, draw

RATE = 3e-3
# Latent (height, width), the pictures in a batch, and how often.
SIZES: dict[tuple[int, int], tuple[int, float]] = {(32, 32): (8, 0.35), (64, 64): (3, 0.55), (48, 64): (4, 0.1)}
POOL = 400
UNCONDITIONAL = 0.35


@dataclass(frozen=True)
class Kind:
    """A kind of hint and the file it is for."""

    hint: hints.Hint
    file: str


KINDS = {
    "canny": Kind(hints.edges, "controlnet/control-lora-canny-rank128.safetensors"),
    "cpds": Kind(hints.greys, "controlnet/fooocus_xl_cpds_128.safetensors"),
}


def train(networks: Networks, kind: str, work: Path, steps: int, seed: int = 0) -> ControlLora:
    """Train the Control-LoRA `kind`, or go on from `work`'s checkpoint of it."""
    for module in networks.modules().values():
        module.requires_grad_(False)
    control = ControlLora(networks.unet, seed)
    trained = control.parameters()
    optimiser = torch.optim.AdamW(trained, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    checkpoint = Checkpoint(work / f"{kind}.pt", model=control, optimiser=optimiser)
    began, running = time.monotonic(), 0.0
    for step in range(first := checkpoint.load(), steps):
        set_rate(optimiser, RATE * rate_factor(step, steps))
        rng = random.Random(f"{kind} {seed} {step}")
        generator = torch.Generator(networks.unet.device).manual_seed(seed * 1_000_003 + step)
        loss = steering_loss(networks, control, KINDS[kind].hint, rng, generator)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        control.keep_carried()
        running = loss.item() if step == first else 0.96 * running + 0.04 * loss.item()
        progress(kind, step, steps, began, {"loss": running})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(steps)
    return control


def steering_loss(
    networks: Networks, control: ControlLora, hint: hints.Hint, rng: random.Random, generator: torch.Generator
) -> Tensor:
    """The noise's squared error over alpha, as in the UNet's own training, under the control."""
    (height, width), (count, _) = rng.choices(tuple(SIZES.items()), [share for _, share in SIZES.values()])[0]
    chosen = [rng.randrange(POOL) for _ in range(count)]
    scenes = [coloured(rng, pool_scene(number)) for number in chosen]
    latents = torch.stack([scene_latents(scene, width, height) for scene in scenes]).to(generator.device)
    pairs = zip(chosen, scenes, strict=True)
    pictures = torch.stack([_hint(hint, rng, number, scene, width, height) for number, scene in pairs])
    drawn = noised(latents, generator)
    texts = ["" if rng.random() < UNCONDITIONAL else caption(rng, scene) for scene in scenes]
    context, added = conditions(networks, rng, texts, (height, width))
    calls = (drawn.noisy, drawn.timesteps, context, added)
    return drawn.loss(control_lora.steered(networks.unet, control, calls, pictures.to(generator.device)))


@lru_cache(maxsize=POOL)
def pool_scene(number: int) -> Scene:
    """A flat scene on a plain background, the same for the same number; its colours mean nothing."""
    rng = random.Random(f"control pool {number}")
    shapes = [replace(shape, style="flat") for shape in sample(rng, pair_share=0.25).scene.shapes]
    if len(shapes) == 1:
        shapes = [replace(shapes[0], kind=SHAPES[number % len(SHAPES)])]
    return Scene(Background("black"), tuple(replace(shape, colour="white") for shape in shapes))


def coloured(rng: random.Random, scene: Scene) -> Scene:
    """The scene in random colours that are easy to tell apart."""
    ground = rng.choice(tuple(COLOURS))
    free = [name for name in COLOURS if colour_distance(name, ground) > MIN_COLOUR_DISTANCE]
    colours = rng.sample(free, len(scene.shapes))
    shapes = tuple(replace(shape, colour=colour) for shape, colour in zip(scene.shapes, colours, strict=True))
    return Scene(Background(ground), shapes)


def caption(rng: random.Random, scene: Scene) -> str:
    """What the scene is and in which colours, not where; now and then without the shape's name."""
    vague = rng.random() < 0.2
    things = [article(f"{shape.colour} {'shape' if vague else shape.kind}") for shape in scene.shapes]
    return f"{' and '.join(things)} on {article(scene.background.colour)} background"


def _hint(hint: hints.Hint, rng: random.Random, number: int, scene: Scene, width: int, height: int) -> Tensor:
    """(3, 8 height, 8 width) in 0..1. Edges are those of the pool's scene, whatever the colours."""
    if hint is hints.edges:
        grey = _pool_edges(number, width * 8, height * 8)
    else:
        grey = hint(rng, np.asarray(draw(scene, width * 8, height * 8, supersample=1)))
    return torch.from_numpy(grey).float().div(255).expand(3, -1, -1)


@cache
def _pool_edges(number: int, width: int, height: int) -> np.ndarray:
    drawn = draw(pool_scene(number), width, height, supersample=1)
    return hints.edges(random.Random(0), np.asarray(drawn))


def write(control: ControlLora, kind: str, folder: Path) -> None:
    """Write the Control-LoRA into a bundle."""
    control_lora.write(control, folder / KINDS[kind].file)
