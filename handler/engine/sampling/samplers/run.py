"""What every sampler is given, and the arithmetic they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from handler.plan.model_sampling import ModelSampling, float32_exp, float32_log

Denoise = Callable[[Tensor, float], Tensor]
Draw = Callable[[float, float], Tensor]
OnStep = Callable[[int, int, Tensor], None]


@dataclass(frozen=True)
class Run:
    """One walk down the noise levels.

    denoise: x and its noise level to the prediction of x0. draw: unit noise for the step between two levels.
    on_step: told the step's index, their number and the prediction, after the step's first model call; may raise.
    sigmas: falling, `steps + 1` of them, down to 0 unless another run goes on from there.
    """

    denoise: Denoise
    draw: Draw
    on_step: OnStep
    sigmas: tuple[float, ...]
    model: ModelSampling

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    def levels(self) -> list[tuple[int, float, float]]:
        """The steps: index, noise level before, noise level after."""
        return [(step, *pair) for step, pair in enumerate(pairwise(self.sigmas))]

    def predict(self, step: int, x: Tensor, sigma: float) -> Tensor:
        """The step's first model call, reported."""
        denoised = self.denoise(x, sigma)
        self.on_step(step, self.steps, denoised)
        return denoised


def toward(x: Tensor, denoised: Tensor, sigma: float, sigma_next: float) -> Tensor:
    """x moved along the straight line to `denoised` (an Euler step, or a first order exponential step)."""
    return torch.lerp(denoised, x, sigma_next / sigma)


def middle_level(sigma: float, sigma_next: float) -> float:
    """The geometric mean, rounded as Fooocus rounds it: Brownian noise up to it depends on its last digits."""
    log, log_next = float32_log(sigma), float32_log(sigma_next)
    return float(float32_exp(log + (log_next - log) * np.float32(0.5)))


def ancestral_split(sigma: float, sigma_next: float) -> tuple[float, float]:
    """The level to step down to, and the noise to add so that `sigma_next` is reached (k-diffusion, eta 1)."""
    up = min(sigma_next, (sigma_next**2 * (sigma**2 - sigma_next**2) / sigma**2) ** 0.5)
    return (sigma_next**2 - up**2) ** 0.5, up


def add_noise(x: Tensor, noise: Tensor, amount: float) -> Tensor:
    return torch.add(x, noise, alpha=amount)
