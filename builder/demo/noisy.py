"""Noised latents for training what steers the finished UNet, and how wrong a prediction of their noise is."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from builder.demo.dataset import time_ids
from builder.demo.networks import Networks, alphas_at
from builder.demo.texts import encode
from builder.demo.train_unet import emphasis, evenly, random_noise

LEAST_NOISY = 350
"""What is taught is the noisy end, where layout and colours are decided."""
TOWARDS_NOISE = 0.7


@dataclass(frozen=True)
class Noised:
    """noisy: (n, 4, h, w) at `timesteps` (n,), of `latents` and `noise`."""

    latents: Tensor
    noise: Tensor
    noisy: Tensor
    timesteps: Tensor

    def loss(self, predicted: Tensor) -> Tensor:
        """The noise's mean squared error over alpha, as in the UNet's own training; shapes count more."""
        alphas = alphas_at(self.timesteps)
        return ((predicted - self.noise).square() / alphas * emphasis(self.latents, self.latents)).mean()


def noised(latents: Tensor, generator: torch.Generator) -> Noised:
    """Latents under noise of timesteps spread evenly over the batch, towards the noisy end."""
    count = len(latents)
    noise = random_noise(latents.shape, generator)
    even = evenly(count, generator)
    timesteps = (LEAST_NOISY + even**TOWARDS_NOISE * (1000 - LEAST_NOISY)).long().clamp(max=999)
    alphas = alphas_at(timesteps)
    return Noised(latents, noise, alphas.sqrt() * latents + (1 - alphas).sqrt() * noise, timesteps)


def conditions(
    networks: Networks, rng: random.Random, texts: list[str], size: tuple[int, int]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Context (n, 77, width), and pooled vectors and size numbers, of texts and a latent (height, width)."""
    context, pooled = encode(networks.text_1, networks.text_2, texts)
    ids = torch.stack([time_ids(rng, size[0] * 8, size[1] * 8) for _ in texts]).to(pooled.device)
    return context, {"text_embeds": pooled, "time_ids": ids}
