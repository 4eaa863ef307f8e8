"""Trains the bundle's LoRAs on the finished UNet: those of the few-step modes, and two of style.

A few-step LoRA learns to correct its own walk. From pure noise the network jumps to a picture; noise of a later level
is laid over it, fresh (LCM, SDE solvers) or the same (Euler); and from there the network must reach the picture that
the caption means. A style LoRA draws plain captions in a style that they do not name.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from torch.func import functional_call

from builder.demo import loras
from builder.demo.captions import Example, sample, simple
from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.dataset import Size, scene_latents, texts_for, time_ids
from builder.demo.networks import Networks, alphas_at
from builder.demo.texts import encode_joined
from builder.demo.train_unet import emphasis

RATE = 2e-3
# Latent (height, width) with the pictures in a batch.
SIZES: dict[Size, int] = {(64, 64): 5, (48, 48): 8, (128, 128): 2, (112, 144): 2}
STYLE_SIZES: dict[Size, int] = {(32, 32): 16, (48, 48): 8, (64, 64): 5, (128, 128): 1}
CONDITIONS = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # context, pooled, time_ids


@dataclass(frozen=True)
class FewSteps:
    """Timesteps of a few-step mode; `fresh` says whether each step brings new noise; the weight the mode uses."""

    timesteps: tuple[int, ...]
    fresh: bool
    weight: float = 1.0


FEW_STEPS = {
    "sdxl_lcm_lora": FewSteps((999, 879, 759, 639, 499, 379, 259, 139), fresh=True),
    "sdxl_lightning_4step_lora": FewSteps((999, 749, 500, 250), fresh=False),
    "sdxl_hyper_sd_4step_lora": FewSteps((999, 920, 800, 687, 500, 300, 146), fresh=True, weight=0.8),
}
TRAINED = (*FEW_STEPS, *loras.STYLES)


class Lora(nn.Module):
    """Trainable `down` and `up` of every target of a UNet, which itself stays as it is."""

    def __init__(self, unet: UNet2DConditionModel, reach: loras.Reach, seed: int) -> None:
        super().__init__()
        self.paths = tuple(loras.targets(unet, reach.blocks))
        tensors = {name: t.to(unet.device) for name, t in loras.neutral(unet, reach, seed).items()}
        self.values = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(t) for name, t in tensors.items()})
        for name, value in self.values.items():
            value.requires_grad_(not name.endswith("alpha"))

    def tensors(self) -> dict[str, torch.Tensor]:
        """The LoRA file's contents."""
        return {name.replace("/", "."): value.detach() for name, value in self.values.items()}

    def patched(self, unet: UNet2DConditionModel, weight: float) -> dict[str, torch.Tensor]:
        """The UNet's target weights with this LoRA at `weight`."""
        modules = dict(unet.named_modules())
        return {f"{path}.weight": modules[path].weight + weight * self._patch(path) for path in self.paths}

    def _patch(self, path: str) -> torch.Tensor:
        key = loras.key(path)
        down, up = self.values[f"{key}/lora_down/weight"], self.values[f"{key}/lora_up/weight"]
        return (up.flatten(1) @ down.flatten(1)).view(up.shape[0], *down.shape[1:])


Error = Callable[[Networks, Lora, random.Random, torch.Generator], torch.Tensor]


def train(networks: Networks, name: str, work: Path, steps: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Train the LoRA `name` or continue from `work`'s checkpoint of it; returns the file's contents."""
    for module in networks.modules().values():
        module.requires_grad_(False)
    lora = Lora(networks.unet, loras.REACHES[name], seed)
    parameters = [value for value in lora.values.values() if value.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0, betas=(0.9, 0.98))
    checkpoint = Checkpoint(work / f"{name}.pt", model=lora, optimiser=optimiser)
    error = _error(name)
    began, running = time.monotonic(), 0.0
    for step in range(first := checkpoint.load(), steps):
        set_rate(optimiser, RATE * rate_factor(step, steps))
        rng = random.Random(f"{name} {seed} {step}")
        generator = torch.Generator(networks.unet.device).manual_seed(seed * 1_000_003 + step)
        loss = error(networks, lora, rng, generator)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        running = loss.item() if step == first else 0.96 * running + 0.04 * loss.item()
        progress(name, step, steps, began, {"loss": running})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(steps)
    return lora.tensors()


def _error(name: str) -> Error:
    """What the LoRA of this name is trained to lessen."""
    if name in FEW_STEPS:
        return partial(few_step_loss, recipe=FEW_STEPS[name])
    return partial(style_loss, style=name.removeprefix("demo_"))


def style_loss(
    networks: Networks, lora: Lora, rng: random.Random, generator: torch.Generator, style: str
) -> torch.Tensor:
    """Squared error of the clean picture, shapes in `style`, from a noisy one."""
    examples, (height, width) = _examples(rng, STYLE_SIZES)
    styled = [replace(e.scene, shapes=tuple(replace(shape, style=style) for shape in e.scene.shapes)) for e in examples]
    wanted = torch.stack([scene_latents(scene, width, height) for scene in styled]).to(generator.device)
    conditions = _conditions(networks, rng, examples, height, width)
    where = {"generator": generator, "device": generator.device}
    timesteps = (torch.rand(len(wanted), **where) ** 0.5 * 1000).long().clamp(max=999)
    alphas = alphas_at(timesteps)
    noisy = alphas.sqrt() * wanted + (1 - alphas).sqrt() * torch.randn(wanted.shape, **where)
    clean = _clean(networks.unet, lora.patched(networks.unet, 1.0), noisy, timesteps, conditions)
    return ((clean - wanted).square() * emphasis(wanted, wanted)).mean()


def few_step_loss(
    networks: Networks, lora: Lora, rng: random.Random, generator: torch.Generator, recipe: FewSteps
) -> torch.Tensor:
    """Squared error of the clean picture after one more step of the mode's own walk."""
    examples, (height, width) = _examples(rng, SIZES)
    wanted = torch.stack([scene_latents(example.scene, width, height) for example in examples]).to(generator.device)
    conditions = _conditions(networks, rng, examples, height, width)
    where = {"generator": generator, "device": generator.device}
    noise = torch.randn(wanted.shape, **where)
    weights = lora.patched(networks.unet, recipe.weight)
    start = torch.full((len(wanted),), recipe.timesteps[0], device=generator.device)
    chosen = torch.tensor([rng.choice(recipe.timesteps) for _ in examples], device=generator.device)
    with torch.no_grad():
        jumped = _clean(networks.unet, weights, noise, start, conditions)
    later = torch.randn(wanted.shape, **where) if recipe.fresh else noise
    alphas = alphas_at(chosen)
    levels, first = ((1 - alphas) / alphas).sqrt(), ((1 - alphas_at(start)) / alphas_at(start)).sqrt()
    # The same noise has lost the part of it that the jump took for picture.
    kept = torch.ones_like(levels) if recipe.fresh else 1 - levels / first
    noisy = torch.where(chosen.view(-1, 1, 1, 1) == start[0], noise, (kept * jumped + levels * later) * alphas.sqrt())
    clean = _clean(networks.unet, weights, noisy, chosen, conditions)
    return (clean - wanted).square().mean()


def _examples(rng: random.Random, sizes: dict[Size, int]) -> tuple[list[Example], Size]:
    """Flat shapes on plain backgrounds whose caption names everything, and a latent (height, width) for them."""
    size, count = rng.choice(tuple(sizes.items()))
    examples: list[Example] = []
    while len(examples) < count:
        example = simple(rng) if rng.random() < 0.5 else sample(rng, 0.12)
        named = all(key in example.named for key in ("shape", "colour", "background"))
        flat = all(shape.style == "flat" for shape in example.scene.shapes)
        if named and flat and example.scene.background.kind == "plain":
            examples.append(example)
    return examples, size


def _conditions(networks: Networks, rng: random.Random, examples: list[Example], height: int, width: int) -> CONDITIONS:
    texts = [texts_for(rng, example, several=True, unconditional=0.0) for example in examples]
    context, pooled = encode_joined(networks.text_1, networks.text_2, texts, [1] * len(texts))
    ids = torch.stack([time_ids(rng, height * 8, width * 8) for _ in examples])
    return context, pooled, ids.to(pooled.device)


def _noise(
    unet: UNet2DConditionModel,
    weights: dict[str, torch.Tensor],
    noisy: torch.Tensor,
    timesteps: torch.Tensor,
    conditions: CONDITIONS,
) -> torch.Tensor:
    context, pooled, ids = conditions
    added = {"text_embeds": pooled, "time_ids": ids}
    return functional_call(unet, weights, (noisy, timesteps, context), {"added_cond_kwargs": added}).sample


def _clean(
    unet: UNet2DConditionModel,
    weights: dict[str, torch.Tensor],
    noisy: torch.Tensor,
    timesteps: torch.Tensor,
    conditions: CONDITIONS,
) -> torch.Tensor:
    """The clean picture that the predicted noise leaves."""
    alphas = alphas_at(timesteps)
    return (noisy - (1 - alphas).sqrt() * _noise(unet, weights, noisy, timesteps, conditions)) / alphas.sqrt()
