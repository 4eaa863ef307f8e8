"""DPM-Solver++'s SDE forms, eta 1 (Lu et al. 2022b; k-diffusion).

With h the step's length in -ln sigma, an SDE step shrinks x by exp(-2h) where the plain one shrinks it by exp(-h).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from handler.engine.sampling.samplers.run import Run, add_noise, ancestral_split, middle_level, toward


def dpmpp_sde(x: Tensor, run: Run) -> Tensor:
    """Single step, second order, by the geometric middle."""
    for step, sigma, sigma_next in run.levels():
        denoised = run.predict(step, x, sigma)
        if sigma_next == 0:
            return denoised
        middle = middle_level(sigma, sigma_next)
        halfway = _noisy_step(x, denoised, run, sigma, middle)
        x = _noisy_step(x, run.denoise(halfway, middle), run, sigma, sigma_next)
    return x


def dpmpp_2m_sde(x: Tensor, run: Run) -> Tensor:
    """Multistep, second order, midpoint."""
    previous: Tensor | None = None
    for step, sigma, sigma_next in run.levels():
        denoised = run.predict(step, x, sigma)
        if sigma_next == 0:
            return denoised
        used = denoised
        if previous is not None:
            ratio = math.log(run.sigmas[step - 1] / sigma) / math.log(sigma / sigma_next)
            used = torch.lerp(previous, denoised, 1.0 + 0.5 / ratio)
        x = _sde_step(x, used, run, sigma, sigma_next)
        previous = denoised
    return x


def dpmpp_3m_sde(x: Tensor, run: Run) -> Tensor:
    """Multistep, third order."""
    history: list[Tensor] = []
    for step, sigma, sigma_next in run.levels():
        denoised = run.predict(step, x, sigma)
        if sigma_next == 0:
            return denoised
        history = [denoised, *history[:2]]
        x = _sde_step(x, denoised, run, sigma, sigma_next)
        if len(history) > 1:
            x = x + _bend(history, run.sigmas, step)
    return x


def _noisy_step(x: Tensor, denoised: Tensor, run: Run, sigma: float, sigma_next: float) -> Tensor:
    down, up = ancestral_split(sigma, sigma_next)
    return add_noise(toward(x, denoised, sigma, down), run.draw(sigma, sigma_next), up)


def _sde_step(x: Tensor, denoised: Tensor, run: Run, sigma: float, sigma_next: float) -> Tensor:
    kept = (sigma_next / sigma) ** 2
    noise = run.draw(sigma, sigma_next)
    return add_noise(torch.lerp(denoised, x, kept), noise, sigma_next * (1.0 - kept) ** 0.5)


def _bend(history: list[Tensor], sigmas: tuple[float, ...], step: int) -> Tensor:
    """What second and third order add to a step; history: two or three predictions, newest first."""
    lengths = [math.log(sigmas[at] / sigmas[at + 1]) for at in range(step, step - len(history), -1)]
    h = 2.0 * lengths[0]
    phi_2 = math.expm1(-h) / h + 1.0
    phi_3 = phi_2 / h - 0.5
    ratio = lengths[1] / lengths[0]
    newer = (history[0] - history[1]) / ratio
    if len(history) == 2:
        return newer * phi_2
    ratio_before = lengths[2] / lengths[0]
    curve = newer - (history[1] - history[2]) / ratio_before
    share = ratio / (ratio + ratio_before)
    return newer * phi_2 + curve * (share * phi_2 - phi_3 / (ratio + ratio_before))
