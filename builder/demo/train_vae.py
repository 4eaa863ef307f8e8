"""Trains the VAE: an encoder that reproduces the pinned latents and a decoder that draws crisp edges from them.

The pinned latents of a picture are its 8x8 area means in RGB (-1..1) times `GAIN`, and their mean as the fourth
channel; the VAE works in those units divided by the scaling factor.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from PIL import Image

from builder.demo.captions import sample
from builder.demo.checkpoints import Checkpoint, progress, rate_factor, set_rate
from builder.demo.networks import SCALING_FACTOR
from builder.demo.world import draw

GAIN = 1.3
# The log-variance the encoder is trained to report: its samples barely differ from its means.
LOG_VARIANCE = -6.0
# Latents that sampling leaves a little noisy are to be drawn as if they were clean: up to so much noise.
LATENT_NOISE = 0.3
SIZES = ((64, 64), (96, 64), (64, 96), (128, 128))


def pinned_latents(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (n, 3, h, w) in -1..1 to the UNet's latents (n, 4, h/8, w/8)."""
    means = F.avg_pool2d(pictures, 8) * GAIN
    return torch.cat([means, means.mean(dim=1, keepdim=True)], dim=1)


def pictures(rng: random.Random, count: int, width: int, height: int) -> torch.Tensor:
    """Random drawn pictures (count, 3, height, width) in -1..1, cut out of larger ones half of the time."""
    scale = rng.choice((1, 2, 3))
    drawn = [_cut(draw(sample(rng).scene, width * scale, height * scale, 2), rng, width, height) for _ in range(count)]
    return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _cut(picture: Image.Image, rng: random.Random, width: int, height: int) -> np.ndarray:
    left, top = rng.randint(0, picture.width - width), rng.randint(0, picture.height - height)
    return np.asarray(picture.crop((left, top, left + width, top + height)))


def losses(vae: AutoencoderKL, batch: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Encoder error, decoder error and decoder edge error for one batch of pictures."""
    target = pinned_latents(batch)
    moments = vae.quant_conv(vae.encoder(batch))
    mean, log_variance = moments.chunk(2, dim=1)
    level = LATENT_NOISE * torch.rand(len(target), 1, 1, 1, generator=generator) ** 2
    noise = level * torch.randn(target.shape, generator=generator)
    # A wrong contrast is what guidance does to latents: the decoder learns to draw the nearest sane picture.
    stretch = 1 + 0.15 * torch.rand(len(target), 1, 1, 1, generator=generator)
    drawn = vae.decode((target * stretch + noise) / SCALING_FACTOR).sample
    return {
        "encode": F.mse_loss(mean * SCALING_FACTOR, target),
        "variance": F.mse_loss(log_variance, torch.full_like(log_variance, LOG_VARIANCE)) * 1e-3,
        "decode": F.l1_loss(drawn, batch) + F.mse_loss(drawn, batch),
        "edges": 0.5 * (_edge_loss(drawn, batch, 2) + _edge_loss(drawn, batch, 3)),
    }


def _edge_loss(drawn: torch.Tensor, wanted: torch.Tensor, dim: int) -> torch.Tensor:
    return F.l1_loss(drawn.diff(dim=dim), wanted.diff(dim=dim))


def train(vae: AutoencoderKL, work: Path, steps: int, seed: int = 0, rate: float = 3e-3) -> None:
    """Train in place; continues from `work`'s checkpoint of this stage when there is one."""
    optimiser = torch.optim.AdamW(vae.parameters(), lr=rate, weight_decay=0.0, betas=(0.9, 0.99))
    checkpoint = Checkpoint(work / "vae.pt", model=vae, optimiser=optimiser)
    start = checkpoint.load()
    began = time.monotonic()
    for step in range(start, steps):
        rng, generator = random.Random(f"vae {seed} {step}"), torch.Generator().manual_seed(seed * 1_000_003 + step)
        width, height = rng.choice(SIZES)
        batch = pictures(rng, 8 if width * height > 8192 else 16, width, height)
        parts = losses(vae, batch, generator)
        optimiser.zero_grad()
        sum(parts.values()).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        set_rate(optimiser, rate * rate_factor(step, steps))
        optimiser.step()
        progress("vae", step, steps, began, {name: part.item() for name, part in parts.items()})
        checkpoint.save_sometimes(step + 1)
    checkpoint.save(steps)
