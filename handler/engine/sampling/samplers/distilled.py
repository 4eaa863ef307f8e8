"""Samplers for distilled networks, which jump to the clean latent and noise it again."""

from __future__ import annotations

import math

from torch import Tensor

from handler.engine.sampling.samplers.run import Run, add_noise
from handler.plan.model_sampling import alphas_cumprod

GAMMA = 0.3


def lcm(x: Tensor, run: Run) -> Tensor:
    """Multistep consistency sampling (Luo et al. 2023, algorithm 2)."""
    for step, sigma, sigma_next in run.levels():
        x = run.predict(step, x, sigma)
        if sigma_next > 0:
            x = add_noise(x, run.draw(sigma, sigma_next), sigma_next)
    return x


def tcd(x: Tensor, run: Run) -> Tensor:
    """Trajectory consistency sampling (Zheng et al. 2024, algorithm 4), gamma 0.3, in variance-preserving units.

    Each step jumps to a level below the next and is noised up to it. Its prediction, and the result after the
    last step, is the estimate at that lower level.
    """
    signals = alphas_cumprod()
    for step, sigma, sigma_next in run.levels():
        denoised = run.denoise(x, sigma)
        timestep = run.model.timestep(sigma_next) if sigma_next > 0 else 0.0
        below = float(signals[max(0, math.floor((1.0 - GAMMA) * timestep))])
        eps = (x - denoised) / sigma
        x = add_noise(denoised * below**0.5, eps, (1.0 - below) ** 0.5)
        run.on_step(step, run.steps, x)
        if sigma_next > 0:
            added = max(0.0, sigma_next**2 + 1.0 - 1.0 / below)
            x = add_noise(x / below**0.5, run.draw(sigma, sigma_next), added**0.5)
    return x
