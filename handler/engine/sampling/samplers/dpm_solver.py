"""DPM-Solver-fast and DPM-Solver-12/23 with adaptive steps (Lu et al. 2022, algorithms 1, 2 and appendix C).

Both walk in t = -ln sigma and stop at the last level above 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from handler.engine.sampling.samplers.run import Run

THIRD = 1.0 / 3.0
RELATIVE_TOLERANCE = 0.05
ABSOLUTE_TOLERANCE = 0.0078
FIRST_STEP = 0.05
ACCEPT_FROM = 0.81
ARRIVED = 1e-5


def dpm_fast(x: Tensor, run: Run) -> Tensor:
    """`run.steps` model calls, in steps of third order and one or two of lower order at the end."""
    orders = fast_orders(run.steps)
    start, end = _ends(run)
    stride = (end - start) / len(orders)
    for index, order in enumerate(orders):
        stage = _Stage(run, x, start + index * stride)
        run.on_step(index, len(orders), stage.denoised)
        x = stage.solve(order, start + (index + 1) * stride)
    return x


def fast_orders(calls: int) -> list[int]:
    """The orders of the steps that make up `calls` model calls."""
    whole, rest = divmod(calls, 3)
    return [3] * whole + [rest] if rest else [3] * (whole - 1) + [2, 1]


def dpm_adaptive(x: Tensor, run: Run) -> Tensor:
    """Steps as long as the second and third order solutions agree; `run.steps` is not heeded.

    The steps' number is not known before, so `total` of the reports is the number so far. All pictures of a batch
    would share their steps: give it one at a time.
    """
    t, end = _ends(run)
    length, tried, previous = FIRST_STEP, 0, x
    while t < end - ARRIVED:
        t_next = min(end, t + length)
        stage = _Stage(run, x, t)
        run.on_step(tried, tried + 1, stage.denoised)
        tried += 1
        low, high = stage.solve_both(t_next)
        factor = _length_factor(low, high, previous)
        if factor >= ACCEPT_FROM:
            previous, x, t = low, high, t_next
        length *= factor
    return x


def _length_factor(low: Tensor, high: Tensor, previous: Tensor) -> float:
    """How much longer the next step may be, after the error of this one relative to what is tolerated."""
    tolerated = (RELATIVE_TOLERANCE * torch.maximum(low.abs(), previous.abs())).clamp(min=ABSOLUTE_TOLERANCE)
    error = float(torch.linalg.vector_norm((low - high) / tolerated)) / low.numel() ** 0.5
    return 1.0 + math.atan((error + 1e-8) ** -THIRD - 1.0)


def _ends(run: Run) -> tuple[float, float]:
    positive = [sigma for sigma in run.sigmas if sigma > 0]
    return -math.log(positive[0]), -math.log(positive[-1])


class _Stage:
    """One step's start: x at time t, and the slope (unit noise) there."""

    def __init__(self, run: Run, x: Tensor, t: float) -> None:
        self._run, self._x, self._t = run, x, t
        self.denoised = run.denoise(x, math.exp(-t))
        self._eps = (x - self.denoised) * math.exp(t)

    def solve(self, order: int, t_next: float) -> Tensor:
        if order == 1:
            return self._first(t_next)
        if order == 2:
            return self._second(t_next, 0.5, self._bend(t_next, 0.5))
        return self._third(t_next, self._bend(t_next, THIRD))

    def solve_both(self, t_next: float) -> tuple[Tensor, Tensor]:
        """Second and third order from the same two model calls, and one more."""
        bend = self._bend(t_next, THIRD)
        return self._second(t_next, THIRD, bend), self._third(t_next, bend)

    def _first(self, t_next: float) -> Tensor:
        return torch.sub(self._x, self._eps, alpha=math.exp(-t_next) * math.expm1(t_next - self._t))

    def _second(self, t_next: float, share: float, bend: Tensor) -> Tensor:
        weight = math.exp(-t_next) / (2 * share) * math.expm1(t_next - self._t)
        return torch.sub(self._first(t_next), bend, alpha=weight)

    def _third(self, t_next: float, bend: Tensor) -> Tensor:
        h = t_next - self._t
        share, middle = 2 * THIRD, self._t + 2 * THIRD * h
        weight = math.exp(-middle) * 2.0 * (math.expm1(share * h) / (share * h) - 1.0)
        late = self._change(torch.sub(self._first(middle), bend, alpha=weight), middle)
        weight = math.exp(-t_next) / share * (math.expm1(h) / h - 1.0)
        return torch.sub(self._first(t_next), late, alpha=weight)

    def _bend(self, t_next: float, share: float) -> Tensor:
        """How the slope has changed after `share` of the step, by a first order step there."""
        inside = self._t + share * (t_next - self._t)
        return self._change(self._first(inside), inside)

    def _change(self, x: Tensor, t: float) -> Tensor:
        return (x - self._run.denoise(x, math.exp(-t))) * math.exp(t) - self._eps
