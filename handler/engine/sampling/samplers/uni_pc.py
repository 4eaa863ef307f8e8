"""UniPC, the unified predictor-corrector of order 3, data prediction (Zhao et al. 2023).

The paper's variance-preserving formulas divided by alpha: in k-diffusion's units only noise levels remain.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from handler.engine.sampling.samplers.run import Run, add_noise, toward

ORDER = 3
# Stands in for the last level, 0, whose logarithm the solver needs.
LAST_SIGMA = 0.001


def uni_pc(x: Tensor, run: Run) -> Tensor:
    """B(h) = h, the paper's bh1."""
    return _uni_pc(x, run, exponential=False)


def uni_pc_bh2(x: Tensor, run: Run) -> Tensor:
    """B(h) = e^h - 1, the paper's bh2."""
    return _uni_pc(x, run, exponential=True)


def _uni_pc(x: Tensor, run: Run, exponential: bool) -> Tensor:
    sigmas = (*run.sigmas[:-1], run.sigmas[-1] or LAST_SIGMA)
    top_order = min(ORDER, run.steps - 1)
    history = [run.denoise(x, sigmas[0])]
    for step in range(1, run.steps + 1):
        run.on_step(step - 1, run.steps, history[0])
        order = max(1, min(top_order, step, run.steps + 1 - step))
        update = _Update(x, history[:order], sigmas[step::-1][: order + 1], exponential)
        x = update.predict()
        if step < run.steps:
            history.insert(0, run.denoise(x, sigmas[step]))
            x = update.correct(history[0])
    return x


class _Update:
    """One step. history: the predictions at levels[1:], newest first; levels[0] is the level to reach."""

    def __init__(self, x: Tensor, history: list[Tensor], levels: tuple[float, ...], exponential: bool) -> None:
        h = -math.log(levels[0] / levels[1])
        self._last = history[0]
        self._base = toward(x, self._last, levels[1], levels[0])
        self._times = [-math.log(level / levels[1]) / h for level in levels[2:]]
        self._slopes = [
            (prediction - self._last) / time for prediction, time in zip(history[1:], self._times, strict=True)
        ]
        self._scale = math.expm1(-h) if exponential else -h
        self._h = h

    def predict(self) -> Tensor:
        weights = [0.5] if len(self._times) == 1 else self._weights(self._times)
        return self._add(self._slopes, weights)

    def correct(self, prediction: Tensor) -> Tensor:
        weights = self._weights([*self._times, 1.0]) if self._times else [0.5]
        return self._add([*self._slopes, prediction - self._last], weights)

    def _add(self, slopes: list[Tensor], weights: list[float]) -> Tensor:
        x = self._base
        for slope, weight in zip(slopes, weights, strict=True):
            x = add_noise(x, slope, -self._scale * weight)
        return x

    def _weights(self, times: list[float]) -> list[float]:
        """The paper's a: what makes the update exact for polynomials of the order (eq. 12)."""
        powers = np.vander(times, increasing=True).T
        moments, factorial, phi = [], 1, math.expm1(-self._h) / -self._h - 1.0
        for power in range(1, len(times) + 1):
            moments.append(phi * factorial / self._scale)
            factorial *= power + 1
            phi = phi / -self._h - 1.0 / factorial
        return np.linalg.solve(powers, moments).tolist()
