"""DPM-Solver++ without its SDE forms (Lu et al. 2022b; k-diffusion)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from handler.engine.sampling.samplers.run import Run, add_noise, ancestral_split, middle_level, toward


def dpmpp_2s_ancestral(x: Tensor, run: Run) -> Tensor:
    """Single step, second order, by the geometric middle; ancestral noise."""
    for step, sigma, sigma_next in run.levels():
        denoised = run.predict(step, x, sigma)
        down, up = ancestral_split(sigma, sigma_next)
        if down > 0:
            middle = middle_level(sigma, down)
            denoised = run.denoise(toward(x, denoised, sigma, middle), middle)
        x = toward(x, denoised, sigma, down)
        if sigma_next > 0:
            x = add_noise(x, run.draw(sigma, sigma_next), up)
    return x


def dpmpp_2m(x: Tensor, run: Run) -> Tensor:
    """Multistep, second order: the prediction is extrapolated from the one before, but for the last step."""
    previous: Tensor | None = None
    for step, sigma, sigma_next in run.levels():
        denoised = run.predict(step, x, sigma)
        used = denoised
        if previous is not None and sigma_next > 0:
            ratio = math.log(run.sigmas[step - 1] / sigma) / math.log(sigma / sigma_next)
            used = torch.lerp(previous, denoised, 1.0 + 0.5 / ratio)
        x = toward(x, used, sigma, sigma_next)
        previous = denoised
    return x
