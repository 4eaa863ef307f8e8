"""Restart sampling (Xu et al. 2023)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from torch import Tensor

from handler.engine.sampling.samplers.heun import heun_step
from handler.engine.sampling.samplers.run import Run, add_noise
from handler.plan.sigmas import karras_levels

LOW, HIGH = 0.1, 2.0
FROM_STEPS = 20
TWICE_FROM_STEPS = 36
LENGTH = 9


def restart(x: Tensor, run: Run) -> Tensor:
    """Heun steps; low levels are noised up again and walked down once more."""
    steps = restart_levels(run.sigmas)
    reached = steps[0][0]
    for step, (sigma, sigma_next) in enumerate(steps):
        if sigma > reached:
            x = add_noise(x, run.draw(reached, sigma), (sigma**2 - reached**2) ** 0.5)
        denoised = run.denoise(x, sigma)
        run.on_step(step, len(steps), denoised)
        x = heun_step(x, denoised, run, sigma, sigma_next)
        reached = sigma_next
    return x


def restart_levels(sigmas: tuple[float, ...]) -> list[tuple[float, float]]:
    """The steps of `restart` for a schedule; one that begins above where the last ended is a restart.

    Below 20 steps there are none. From 20 on a segment of 9 steps is repeated once, from 36 on one of a quarter
    of the steps twice; those steps are taken off the main walk, which then is a Karras schedule in any case.
    Where the schedule does not go down to 0 there are none either.
    """
    steps = len(sigmas) - 1
    if steps < FROM_STEPS or sigmas[-1] > 0:
        return _pairs(sigmas)
    length, times = LENGTH, 1
    if steps >= TWICE_FROM_STEPS:
        length, times = steps // 4, 2
    walk = (*karras_levels(sigmas[-2], sigmas[0], steps - length * times), 0.0)
    low, high = _nearest(walk, LOW), _nearest(walk, HIGH)
    if high >= low:
        return _pairs(walk)
    inner = karras_levels(walk[low], walk[high], length + 1)[1:-1]
    segment = (walk[high], *inner, walk[low])
    return _pairs(walk[: low + 1]) + _pairs(segment) * times + _pairs(walk[low:])


def _pairs(levels: tuple[float, ...]) -> list[tuple[float, float]]:
    return list(pairwise(levels))


def _nearest(levels: tuple[float, ...], wanted: float) -> int:
    return int(np.argmin(np.abs(np.subtract(levels, wanted))))
