"""A small sampler with which training looks at what it has learned; the engine's own lives in the handler.

DPM-Solver++(2M) of Lu et al. on Karras's noise levels, classifier-free guidance 4 and Fooocus's size emphasis over
the first 30 % of the timesteps. Latents are in the UNet's units (the VAE's times 0.13025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from PIL import Image

from builder.demo.networks import SCALING_FACTOR, Networks, alphas_cumprod
from builder.demo.texts import encode_joined

STEPS = 30
GUIDANCE = 4.0
EMPHASIS_END = 0.3

Denoise = Callable[[torch.Tensor, float], torch.Tensor]


@dataclass(frozen=True)
class Mode:
    """How to sample: number of steps, guidance scale, which solver ("2m", "lcm" or "euler"), and with which LoRA."""

    steps: int = STEPS
    guidance: float = GUIDANCE
    solver: str = "2m"
    lora: str | None = None


SPEED = Mode()
EXTREME_SPEED = Mode(8, 1.0, "lcm", "sdxl_lcm_lora")
LIGHTNING = Mode(4, 1.0, "euler", "sdxl_lightning_4step_lora")


def noise_levels() -> torch.Tensor:
    """Sigma of each of the 1000 timesteps, rising, float64."""
    alphas = alphas_cumprod()
    return ((1 - alphas) / alphas).sqrt()


def karras_sigmas(steps: int, rho: float = 7.0) -> list[float]:
    """`steps` falling noise levels and a final zero (Karras et al. 2022, equation 5)."""
    levels = noise_levels()
    low, high = float(levels[0]) ** (1 / rho), float(levels[-1]) ** (1 / rho)
    return [(high + i / (steps - 1) * (low - high)) ** rho for i in range(steps)] + [0.0]


def uniform_sigmas(steps: int) -> list[float]:
    """Noise levels of `steps` timesteps spread evenly from 999 down, without the last, and a final zero."""
    levels = noise_levels()
    return [float(levels[round(999 * (1 - i / steps))]) for i in range(steps)] + [0.0]


def timestep(sigma: float) -> float:
    """The (fractional) timestep with noise level `sigma`."""
    levels = noise_levels().log().numpy()
    return float(np.interp(np.log(sigma), levels, np.arange(1000)))


def size_ids(height: int, width: int, positive: bool, emphasised: bool) -> list[float]:
    """SDXL's six size numbers in pixels, as Fooocus chooses them."""
    target = (round(height / 64) * 64, round(width / 64) * 64)
    if not emphasised:
        return [*target, 0, 0, *target]
    stretch = 1.5 if positive else 0.8
    return [int(height * stretch), int(width * stretch), 0, 0, *target]


def guided(networks: Networks, texts: list[list[str]], negatives: list[list[str]], guidance: float) -> Denoise:
    """A function from noisy latents and sigma to predicted clean latents."""
    sides = [(True, encode_joined(networks.text_1, networks.text_2, texts))]
    if guidance != 1.0:
        sides.append((False, encode_joined(networks.text_1, networks.text_2, negatives)))

    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        at = timestep(sigma)
        height, width = x.shape[2] * 8, x.shape[3] * 8
        noises = []
        for positive, (context, pooled) in sides:
            ids = torch.tensor(size_ids(height, width, positive, at > 999 * (1 - EMPHASIS_END)))
            conditions = {"text_embeds": pooled, "time_ids": ids.float().expand(len(x), 6)}
            scaled = x / (sigma**2 + 1) ** 0.5
            noises.append(networks.unet(scaled, torch.tensor(at), context, added_cond_kwargs=conditions).sample)
        noise = noises[0] if len(noises) == 1 else noises[1] + guidance * (noises[0] - noises[1])
        return x - sigma * noise

    return denoise


def solve_2m(denoise: Denoise, x: torch.Tensor, sigmas: list[float]) -> torch.Tensor:
    """DPM-Solver++(2M), deterministic."""
    previous: torch.Tensor | None = None
    last_step = 0.0
    for sigma, following in pairwise(sigmas):
        clean = denoise(x, sigma)
        if following == 0:
            return clean
        step = float(np.log(sigma / following))
        estimate = clean
        if previous is not None:
            ratio = last_step / step
            estimate = (1 + 1 / (2 * ratio)) * clean - previous / (2 * ratio)
        x = following / sigma * x - float(np.expm1(-step)) * estimate
        previous, last_step = clean, step
    return x


def solve_euler(denoise: Denoise, x: torch.Tensor, sigmas: list[float]) -> torch.Tensor:
    """Euler's method."""
    for sigma, following in pairwise(sigmas):
        x = x + (x - denoise(x, sigma)) / sigma * (following - sigma)
    return x


def solve_lcm(denoise: Denoise, x: torch.Tensor, sigmas: list[float], generator: torch.Generator) -> torch.Tensor:
    """Latent-consistency sampling: jump to the clean picture, then add fresh noise of the next level."""
    for sigma, following in pairwise(sigmas):
        x = denoise(x, sigma)
        if following > 0:
            x = x + following * torch.randn(x.shape, generator=generator)
    return x


@torch.no_grad()
def sample_latents(
    networks: Networks,
    texts: list[list[str]],
    height: int,
    width: int,
    seed: int,
    mode: Mode = SPEED,
    negatives: list[list[str]] | None = None,
) -> torch.Tensor:
    """Sample one picture per entry of `texts`: latents (n, 4, height / 8, width / 8) for pixel sizes."""
    generator = torch.Generator().manual_seed(seed)
    denoise = guided(networks, texts, negatives or [[""]] * len(texts), mode.guidance)
    noise = torch.randn(len(texts), 4, height // 8, width // 8, generator=generator)
    if mode.solver == "2m":
        sigmas = karras_sigmas(mode.steps)
        return solve_2m(denoise, noise * sigmas[0], sigmas)
    sigmas = uniform_sigmas(mode.steps)
    if mode.solver == "lcm":
        return solve_lcm(denoise, noise * sigmas[0], sigmas, generator)
    return solve_euler(denoise, noise * sigmas[0], sigmas)


@torch.no_grad()
def decode(networks: Networks, latents: torch.Tensor) -> list[Image.Image]:
    """The VAE's pictures of latents in the UNet's units."""
    pictures = []
    for one in latents:
        drawn = networks.vae.decode(one[None] / SCALING_FACTOR).sample[0].clamp(-1, 1)
        pictures.append(Image.fromarray(((drawn.permute(1, 2, 0) + 1) * 127.5).byte().numpy()))
    return pictures
