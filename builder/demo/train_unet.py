"""Trains the UNet to predict noise on pinned latents, the text encoders frozen."""

from __future__ import annotations

import copy
import random
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn

from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.dataset import Batch, batch_at
from builder.demo.networks import Networks, alphas_cumprod
from builder.demo.texts import encode_joined

OFFSET_NOISE = 0.2
# Weight of the noise loss at noise level sigma: 1 + sigma^2 (the weight v-prediction has), at most this.
MAX_WEIGHT = 48.0
EMA = 0.998
RATE = 2e-3


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


def noised(latents: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noisy latents, the noise in them (with an offset per channel) and the timesteps (n,)."""
    count = len(latents)
    noise = torch.randn(latents.shape, generator=generator)
    noise = noise + OFFSET_NOISE * torch.randn(count, 4, 1, 1, generator=generator)
    # Spread evenly over the batch and a little towards the noisy end.
    even = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    timesteps = (even**0.6 * 1000).long().clamp(max=999)
    alphas = alphas_cumprod().float()[timesteps].view(-1, 1, 1, 1)
    return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise, noise, timesteps


def noise_loss(
    unet: UNet2DConditionModel, networks: Networks, batch: Batch, generator: torch.Generator
) -> torch.Tensor:
    """Weighted squared error of the predicted noise, one value per picture."""
    noisy, noise, timesteps = noised(batch.latents, generator)
    with torch.no_grad():
        context, pooled = encode_joined(networks.text_1, networks.text_2, batch.texts)
    conditions = {"text_embeds": pooled, "time_ids": batch.time_ids}
    predicted = unet(noisy, timesteps, context, added_cond_kwargs=conditions).sample
    weight = (1 / alphas_cumprod().float()[timesteps]).clamp(max=MAX_WEIGHT)
    return (predicted - noise).square().mean(dim=(1, 2, 3)) * weight


def train(networks: Networks, work: Path, steps: int, seed: int = 0, until: int | None = None) -> None:
    """Train `networks.unet` in place, to step `until` of `steps`, keeping its average in the checkpoint too.

    Continues from `work`'s checkpoint of this stage when there is one.
    """
    networks.text_1.requires_grad_(False)
    networks.text_2.requires_grad_(False)
    average = Average(networks.unet)
    optimiser = torch.optim.AdamW(networks.unet.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
    checkpoint = Checkpoint(work / "unet.pt", model=networks.unet, optimiser=optimiser, average=average)
    began, running = time.monotonic(), 0.0
    end = min(steps, until or steps)
    for step in range(first := checkpoint.load(), end):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        set_rate(optimiser, RATE * rate_factor(step, steps))
        batch = batch_at(random.Random(f"unet {seed} {step}"), step / steps)
        loss = noise_loss(networks.unet, networks, batch, generator).mean()
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(networks.unet.parameters(), 1.0)
        optimiser.step()
        average.update(networks.unet, step)
        running = loss.item() if step == first else 0.96 * running + 0.04 * loss.item()
        progress("unet", step, end, began, {"loss": running, "gradient": norm.item()})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(end)
