"""DPM-Solver-2 in k-diffusion's form, plain and ancestral (Karras et al. 2022; Lu et al. 2022)."""

from __future__ import annotations

from torch import Tensor

from handler.engine.sampling.samplers.run import Run, add_noise, ancestral_split, middle_level, toward


def dpm_2(x: Tensor, run: Run) -> Tensor:
    for step, sigma, sigma_next in run.levels():
        x = _midpoint_step(x, run, step, sigma, sigma_next)
    return x


def dpm_2_ancestral(x: Tensor, run: Run) -> Tensor:
    for step, sigma, sigma_next in run.levels():
        down, up = ancestral_split(sigma, sigma_next)
        x = _midpoint_step(x, run, step, sigma, down)
        if sigma_next > 0:
            x = add_noise(x, run.draw(sigma, sigma_next), up)
    return x


def _midpoint_step(x: Tensor, run: Run, step: int, sigma: float, sigma_next: float) -> Tensor:
    """By the slope at the geometric middle; Euler's step where the way ends at 0."""
    denoised = run.predict(step, x, sigma)
    if sigma_next == 0:
        return toward(x, denoised, sigma, sigma_next)
    middle = middle_level(sigma, sigma_next)
    halfway = toward(x, denoised, sigma, middle)
    slope = (halfway - run.denoise(halfway, middle)) / middle
    return x + slope * (sigma_next - sigma)
