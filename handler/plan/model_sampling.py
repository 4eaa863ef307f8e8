"""How a network's noise levels, timesteps and outputs belong together: Fooocus's four parametrisations.

All of them are used in one linear form (k-diffusion's, after Karras et al. 2022, eq. 7):
`denoised = c_skip * x + c_out * network(c_in * x, timestep)`.

Noise levels are worked out in float32 with the roundings of torch's `linspace`, `log` and `exp`, as in Fooocus:
the Brownian noise of a seed depends on their last digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.enums import Scheduler

TRAINING_STEPS = 1000
LAST_TIMESTEP = TRAINING_STEPS - 1
BETA_START, BETA_END = 0.00085, 0.012
DISTILLED_STRIDE = 20
LCM_SIGMA_DATA = 0.5
LCM_TIMESTEP_SCALE = 10.0
EDM_SIGMA_MIN, EDM_SIGMA_MAX = 0.002, 120.0
EDM_SIGMA_DATA = 0.5
# Gaps in log sigma to the entries of a distilled table that differ by less are alike.
DISTILLED_TIE = 1e-6
NO_NOISE_YET = 999999999.9


@dataclass(frozen=True)
class Scalings:
    """Factors of the linear form, at one noise level."""

    c_in: float
    c_skip: float
    c_out: float


class ModelSampling(Protocol):
    """One parametrisation. Timesteps are floats; progress runs from 0 (all noise) to 1."""

    @property
    def table(self) -> NDArray[np.float32]:
        """The noise levels the network knows, rising."""

    def timestep(self, sigma: float) -> float:
        """What the network is told at noise level `sigma` > 0."""

    def sigma(self, timestep: float) -> float:
        """Noise level of a timestep, which need not be whole."""

    def sigma_at_progress(self, progress: float) -> float:
        """Noise level after the share `progress` (0..1) of the timesteps; above all levels at 0, 0 at 1."""

    def scalings(self, sigma: float) -> Scalings:
        """The factors at noise level `sigma`."""


def float32_ramp(start: float, end: float, steps: int) -> NDArray[np.float32]:
    """Evenly spaced numbers as torch spaces them: counted from both ends, each rounded to float32 once."""
    first, last = np.float32(start), np.float32(end)
    stride = np.float64((last - first) / np.float32(max(steps - 1, 1)))
    place = np.arange(steps)
    from_first, from_last = first + stride * place, last - stride * (steps - 1 - place)
    return np.where(place < max(steps // 2, 1), from_first, from_last).astype(np.float32)


def float32_log(value: NDArray[np.float32] | float) -> NDArray[np.float32]:
    return np.log(np.float64(value)).astype(np.float32)


def float32_exp(exponent: NDArray[np.float32] | np.float32) -> NDArray[np.float32]:
    return np.exp(np.float64(exponent)).astype(np.float32)


@cache
def alphas_cumprod() -> NDArray[np.float64]:
    """Signal share of each of the 1000 training steps: SDXL's "scaled linear" betas."""
    betas = np.linspace(BETA_START**0.5, BETA_END**0.5, TRAINING_STEPS, dtype=np.float64) ** 2
    return np.cumprod(1.0 - betas)


class EpsSampling:
    """Networks that predict unit noise, at every `stride`-th training step counted from the last one.

    Timesteps are those of training, 0..999, and always the nearest the table has, in log sigma. Schedules do ask
    for levels halfway between two: there Fooocus goes by the last digit of a float32, and so does the whole table
    here; in a distilled one the only halfway level that counts (timestep 509) falls to the lower entry.
    """

    def __init__(self, stride: int = 1) -> None:
        self.stride = stride
        self.first = stride - 1
        self._tie = DISTILLED_TIE if stride > 1 else 0.0
        signal = alphas_cumprod()[self.first :: stride]
        self.table = np.sqrt((1.0 - signal) / signal).astype(np.float32)
        self.log_table = float32_log(self.table)

    def timestep(self, sigma: float) -> float:
        gaps = np.abs(float32_log(sigma) - self.log_table)
        nearest = np.argmax(gaps <= gaps.min() + self._tie)
        return float(nearest * self.stride + self.first)

    def sigma(self, timestep: float) -> float:
        """Interpolated linearly in log sigma; clamped to the table."""
        position = np.clip(np.float32((timestep - self.first) / self.stride), 0, len(self.table) - 1)
        below, above = math.floor(position), math.ceil(position)
        share = np.float32(position - below)
        return float(float32_exp((1 - share) * self.log_table[below] + share * self.log_table[above]))

    def sigma_at_progress(self, progress: float) -> float:
        if progress <= 0.0:
            return NO_NOISE_YET
        return 0.0 if progress >= 1.0 else self.sigma((1.0 - progress) * LAST_TIMESTEP)

    def scalings(self, sigma: float) -> Scalings:
        return Scalings(c_in=(sigma**2 + 1.0) ** -0.5, c_skip=1.0, c_out=-sigma)


class LcmSampling(EpsSampling):
    """Latent consistency models: the eps estimate under LCM's boundary condition (Luo et al. 2023, eq. 9)."""

    def __init__(self) -> None:
        super().__init__(DISTILLED_STRIDE)

    def scalings(self, sigma: float) -> Scalings:
        eps = super().scalings(sigma)
        time = LCM_TIMESTEP_SCALE * self.timestep(sigma)
        length = math.hypot(time, LCM_SIGMA_DATA)
        skip, out = (LCM_SIGMA_DATA / length) ** 2, time / length
        return Scalings(eps.c_in, skip + out * eps.c_skip, out * eps.c_out)


class EdmSampling:
    """Playground v2.5: EDM preconditioning (Karras et al. 2022, table 1), timestep 0.25 ln sigma."""

    def __init__(self) -> None:
        ends = math.log(EDM_SIGMA_MIN), math.log(EDM_SIGMA_MAX)
        self.table = float32_exp(float32_ramp(*ends, TRAINING_STEPS))

    def timestep(self, sigma: float) -> float:
        return 0.25 * math.log(sigma)

    def sigma(self, timestep: float) -> float:
        return math.exp(4.0 * timestep)

    def sigma_at_progress(self, progress: float) -> float:
        if progress <= 0.0:
            return NO_NOISE_YET
        span = math.log(EDM_SIGMA_MAX / EDM_SIGMA_MIN)
        return 0.0 if progress >= 1.0 else EDM_SIGMA_MIN * math.exp((1.0 - progress) * span)

    def scalings(self, sigma: float) -> Scalings:
        length = math.hypot(sigma, EDM_SIGMA_DATA)
        return Scalings(1.0 / length, (EDM_SIGMA_DATA / length) ** 2, sigma * EDM_SIGMA_DATA / length)


@cache
def model_sampling(scheduler: Scheduler) -> ModelSampling:
    """The parametrisation a scheduler name stands for."""
    if scheduler is Scheduler.LCM:
        return LcmSampling()
    if scheduler is Scheduler.TCD:
        return EpsSampling(DISTILLED_STRIDE)
    if scheduler is Scheduler.EDM_PLAYGROUND:
        return EdmSampling()
    return EpsSampling()
