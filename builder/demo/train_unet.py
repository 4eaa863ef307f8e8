"""Trains the UNet to predict noise on pinned latents, the text encoders frozen."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from torch.nn import functional as F

from builder.demo.batches import batches
from builder.demo.carry import protect
from builder.demo.checkpoints import Checkpoint, progress, rate_factor
from builder.demo.dataset import Batch, batch_at, current
from builder.demo.networks import Networks, alphas_at, alphas_cumprod
from builder.demo.sketches import Sketches
from builder.demo.steady import SteadyAdam
from builder.demo.texts import encode_joined

# Half of the noise also varies slowly over the picture, in cells of these sizes: only texts then tell what is where,
# as when sampling starts from pure noise. At 128x128 latents plain noise would never hide the picture's layout.
SLOW_CELLS = (1, 2, 4, 8)
SLOW_NOISE = 0.35
OFFSET_NOISE = 0.1
# Weights beside the background's 1; see `emphasis`.
SHAPE_WEIGHT = 3.0
KIND_WEIGHT = 8.0
SKETCH_WEIGHT = 0.5
# Part of the training, at its end, in which the rate falls to zero.
COOL_DOWN = 0.5
# In this part of the training, three batches in four show, from this timestep on, the network's own first guess in
# place of the true picture, as sampling does: it learns to mend what it guessed wrong.
FIRST_GUESSES = (0.85, 0.95)
LEAST_NOISY_GUESS = 450
# The last part is for the last bit of noise, which guidance would make grain of.
TIMESTEP_POWERS = ((0.0, 0.35), (0.6, 0.5), (0.85, 0.6), (0.95, 1.4))
EMA = 0.998


@dataclass(frozen=True)
class Conditions:
    """What the UNet is told of each picture: context (n, tokens, width), pooled (n, pooled), sizes (n, 6)."""

    context: torch.Tensor
    pooled: torch.Tensor
    time_ids: torch.Tensor

    def predict(self, unet: UNet2DConditionModel, noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """The noise that `unet` sees in `noisy`."""
        added = {"text_embeds": self.pooled, "time_ids": self.time_ids}
        return unet(noisy, timesteps, self.context, added_cond_kwargs=added).sample


@dataclass(frozen=True)
class Start:
    """A trained UNet to go on from.

    weights: its state. part: where in the curriculum to begin, 0..1. rate: share of the usual rates, 0..1.
    """

    weights: dict[str, torch.Tensor]
    part: float = 0.6
    rate: float = 0.6


class Average:
    """Exponential moving average of a module's parameters."""

    def __init__(self, module: nn.Module, decay: float = EMA) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Move towards `module`; fast in the first steps."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        own = list(self.module.parameters())
        torch._foreach_lerp_(own, list(module.parameters()), weight)

    def state_dict(self) -> dict[str, Any]:
        return self.module.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state)


def random_noise(shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Normal noise (n, 4, h, w) on the generator's device, half of it with slow parts of random strength added."""
    count, channels = shape[:2]
    where = {"generator": generator, "device": generator.device}
    noise = torch.randn(shape, **where)
    noise = noise + OFFSET_NOISE * torch.randn(count, channels, 1, 1, **where)
    for cells in SLOW_CELLS:
        strength = (torch.rand(count, 1, 1, 1, **where) * 2 - 1).clamp(min=0) * SLOW_NOISE
        slow = torch.randn(count, channels, cells, cells, **where)
        noise = noise + strength * F.interpolate(slow, shape[2:], mode="bilinear", align_corners=False)
    return noise


def evenly(count: int, generator: torch.Generator) -> torch.Tensor:
    """Random numbers (count,) in 0..1, one in each equal part, on the generator's device."""
    where = {"device": generator.device}
    return (torch.arange(count, **where) + torch.rand(count, generator=generator, **where)) / count


def random_timesteps(count: int, area: int, part: float, generator: torch.Generator) -> torch.Tensor:
    """Timesteps (count,), spread evenly over the batch and towards the noisy end.

    The more so the larger the latents (of `area` places), and the less the further the training is (`part`, 0..1):
    first what goes where and its form, then the last bit of noise.
    """
    even = evenly(count, generator)
    power = current(TIMESTEP_POWERS, part)
    return (even ** (power if area < 2000 else power * 0.8) * 1000).long().clamp(max=999)


def noise_loss(
    unet: UNet2DConditionModel, networks: Networks, batch: Batch, part: float, generator: torch.Generator
) -> torch.Tensor:
    """Squared error of the predicted noise over alpha, one value per picture, after `part` of the training.

    That is the error of the correction in `builder.demo.carry`, and of v-prediction, at every noise level.
    """
    noise = random_noise(batch.latents.shape, generator)
    timesteps = random_timesteps(len(noise), noise[0, 0].numel(), part, generator)
    with torch.no_grad():
        context, pooled = encode_joined(networks.text_1, networks.text_2, batch.texts, batch.pooled)
    conditions = Conditions(context, pooled, batch.time_ids)
    shown, (first, last) = batch.latents, FIRST_GUESSES
    if first <= part < last and torch.rand(1, generator=generator, device=generator.device) < 0.75:
        guess, guessed = first_guess(unet, noise, conditions), timesteps >= LEAST_NOISY_GUESS
        shown = torch.where(guessed.view(-1, 1, 1, 1), guess, shown)
    alphas = alphas_at(timesteps)
    noisy = alphas.sqrt() * shown + (1 - alphas).sqrt() * noise
    wanted = (noisy - alphas.sqrt() * batch.latents) / (1 - alphas).sqrt()
    predicted = conditions.predict(unet, noisy, timesteps)
    return ((predicted - wanted).square() / alphas * emphasis(batch.latents, batch.others)).mean(dim=(1, 2, 3))


@torch.no_grad()
def first_guess(unet: UNet2DConditionModel, noise: torch.Tensor, conditions: Conditions) -> torch.Tensor:
    """What the network makes of noise alone in one step: the picture that the next steps of sampling start from."""
    timesteps = torch.full((len(noise),), 999, device=noise.device)
    alpha = float(alphas_cumprod()[-1])
    other = noise.flip(0)
    return (other - (1 - alpha) ** 0.5 * conditions.predict(unet, other, timesteps)) / alpha**0.5


def emphasis(latents: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Weight of each place, (n, 1, h, w): shapes and what is near them count more than the far larger background.

    Most counts what tells a shape from another of the same size, as in `others`.
    """
    reach = min(latents.shape[2:]) // 10
    near = F.max_pool2d(_differs(latents, latents[:, :, :1, :1]), 2 * reach + 1, stride=1, padding=reach)
    return 1 + SHAPE_WEIGHT * near + KIND_WEIGHT * _differs(latents, others)


def _differs(latents: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    return ((latents - others).abs().sum(dim=1, keepdim=True) > 0.3).float()


def train(
    networks: Networks,
    work: Path,
    steps: int,
    seed: int = 0,
    until: int | None = None,
    scale: int = 1,
    workers: int = 0,
    start: Start | None = None,
) -> None:
    """Train `networks.unet` in place, to step `until` of `steps`, keeping its average in the checkpoint too.

    Continues from `work`'s checkpoint of this stage when there is one. scale: how many times the usual pictures a batch
    has. workers: processes that draw them. start: what to go on from, where `work` has no checkpoint; `networks.unet`
    is a fresh one all the same. On the device the networks are on.
    """
    device = networks.unet.device
    networks.text_1.requires_grad_(False)
    networks.text_2.requires_grad_(False)
    protect(networks.unet)
    sketches = Sketches(networks.unet).to(device)
    trainable = [p for p in (*networks.unet.parameters(), *sketches.parameters()) if p.requires_grad]
    optimiser = SteadyAdam(trainable, free=[networks.unet.conv_in.weight])
    begin, rate = 0.0, 1.0
    if start is not None:
        networks.unet.load_state_dict(start.weights)
        begin, rate = start.part, start.rate
    average = Average(networks.unet)
    parts = {"model": networks.unet, "sketches": sketches, "optimiser": optimiser, "average": average}
    checkpoint = Checkpoint(work / "unet.pt", **parts)
    began, running = time.monotonic(), 0.0
    end = min(steps, until or steps)
    part_at = partial(_part, begin, steps)
    first = checkpoint.load()
    for step, drawn in batches(partial(_batch, seed, part_at, scale), first, end, workers):
        generator = torch.Generator(device).manual_seed(seed * 1_000_003 + step)
        batch = drawn.to(device)
        loss = noise_loss(networks.unet, networks, batch, part_at(step), generator).mean()
        sketched = sketches.loss(batch.latents, batch.silhouettes, emphasis(batch.latents, batch.others))
        optimiser.zero_grad()
        (loss + SKETCH_WEIGHT * sketched).backward()
        norm = nn.utils.clip_grad_norm_(trainable, 1.0)
        optimiser.step(rate * rate_factor(step, steps, COOL_DOWN))
        average.update(networks.unet, step)
        running = loss.item() if step == first else 0.96 * running + 0.04 * loss.item()
        progress("unet", step, end, began, {"loss": running, "sketches": sketched.item(), "gradient": norm.item()})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(end)


def _part(begin: float, steps: int, step: int) -> float:
    """How far the curriculum is at a step of a training that begins at `begin` of it, 0..1."""
    return begin + (1 - begin) * step / steps


def _batch(seed: int, part_at: Callable[[int], float], scale: int, step: int) -> Batch:
    return batch_at(random.Random(f"unet {seed} {step}"), part_at(step), scale)
