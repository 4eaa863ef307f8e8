"""VAE units and the units a sampler works in."""

from __future__ import annotations

from torch import Tensor

from schemas.enums import Scheduler

CHANNELS = 4
SDXL_SCALE = 0.13025
# Playground v2.5's statistics of VAE latents, per channel, and the spread its EDM sampling expects.
PLAYGROUND_MEAN = (-1.6574, 1.886, -1.383, 2.5155)
PLAYGROUND_STD = (8.4927, 5.9022, 6.5498, 5.2299)
PLAYGROUND_SCALE = 0.5


def to_sampler(latent: Tensor, scheduler: Scheduler) -> Tensor:
    """VAE units to sampler units: [n, 4, h, w]."""
    if scheduler is Scheduler.EDM_PLAYGROUND:
        mean, std = _playground_statistics(latent)
        return (latent - mean) * (PLAYGROUND_SCALE / std)
    return latent * SDXL_SCALE


def from_sampler(latent: Tensor, scheduler: Scheduler) -> Tensor:
    """Sampler units to VAE units: [n, 4, h, w]."""
    if scheduler is Scheduler.EDM_PLAYGROUND:
        mean, std = _playground_statistics(latent)
        return latent * (std / PLAYGROUND_SCALE) + mean
    return latent / SDXL_SCALE


def _playground_statistics(like: Tensor) -> tuple[Tensor, Tensor]:
    mean, std = like.new_tensor(PLAYGROUND_MEAN), like.new_tensor(PLAYGROUND_STD)
    return mean.view(1, CHANNELS, 1, 1), std.view(1, CHANNELS, 1, 1)


def start_scale(sigma: float, sigma_max: float) -> float:
    """What unit noise is multiplied by at the start: variance-preserving where the model knows only noise."""
    from_the_top = sigma >= sigma_max * (1.0 - 1e-5)
    return (1.0 + sigma**2) ** 0.5 if from_the_top else sigma
