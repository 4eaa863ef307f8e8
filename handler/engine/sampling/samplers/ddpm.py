"""Ancestral sampling of DDPM (Ho et al. 2020, algorithm 2), between any two noise levels."""

from __future__ import annotations

from torch import Tensor

from handler.engine.sampling.samplers.run import Run, add_noise


def ddpm(x: Tensor, run: Run) -> Tensor:
    for step, sigma, sigma_next in run.levels():
        denoised = run.predict(step, x, sigma)
        signal, signal_next = 1.0 / (sigma**2 + 1.0), 1.0 / (sigma_next**2 + 1.0)
        lost = 1.0 - signal / signal_next
        eps = (x - denoised) / sigma
        mean = add_noise(x * signal**0.5, eps, -lost / (1.0 - signal) ** 0.5)
        x = mean * (signal_next / signal) ** 0.5
        if sigma_next > 0:
            deviation = (lost * (1.0 - signal_next) / (1.0 - signal)) ** 0.5
            x = add_noise(x, run.draw(sigma, sigma_next), deviation) / signal_next**0.5
    return x
