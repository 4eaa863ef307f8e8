"""Euler's method, plain and ancestral (Karras et al. 2022, algorithm 2; k-diffusion)."""

from __future__ import annotations

from torch import Tensor

from handler.engine.sampling.samplers.run import Run, add_noise, ancestral_split, toward


def euler(x: Tensor, run: Run) -> Tensor:
    for step, sigma, sigma_next in run.levels():
        x = toward(x, run.predict(step, x, sigma), sigma, sigma_next)
    return x


def euler_ancestral(x: Tensor, run: Run) -> Tensor:
    for step, sigma, sigma_next in run.levels():
        down, up = ancestral_split(sigma, sigma_next)
        x = toward(x, run.predict(step, x, sigma), sigma, down)
        if sigma_next > 0:
            x = add_noise(x, run.draw(sigma, sigma_next), up)
    return x
