"""Noise schedules: which noise levels a run walks through."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from handler.plan.model_sampling import (
    LAST_TIMESTEP,
    TRAINING_STEPS,
    ModelSampling,
    float32_exp,
    float32_ramp,
    model_sampling,
)
from schemas.enums import Sampler, Scheduler

Levels = NDArray[np.float32]

KARRAS_RHO = 7.0
FULL_DENOISE = 0.9999
TURBO_STRIDE = 100
# Optimal levels for SDXL in 10 steps: Sabour et al. 2024, "Align Your Steps", appendix.
ALIGN_YOUR_STEPS = (
    14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141,
    0.5550693289, 0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582,
)  # fmt: skip
# Their schedule is made one longer and loses its last but one level.
WITHOUT_PENULTIMATE = frozenset({Sampler.DPM_2, Sampler.DPM_2_ANCESTRAL, Sampler.UNI_PC, Sampler.UNI_PC_BH2})


def schedule(
    scheduler: Scheduler, steps: int, denoise: float = 1.0, *, sampler: Sampler
) -> tuple[float, ...]:
    """The noise levels of a run: float32 values, falling, `steps + 1` of them, the last one 0.

    steps: 1 or more. denoise: 0 < d <= 1; below 1 the run is the last `steps` of `int(steps / d)`.
    `turbo` knows no more than 10 levels, so its schedule may be shorter than asked.
    """
    walked = steps if denoise > FULL_DENOISE else int(steps / denoise)
    levels = _levels(scheduler, walked, sampler)
    kept = levels[-(steps + 1) :] if walked > steps else levels[: steps + 1]
    return (*(float(level) for level in kept[:-1]), 0.0)


def sigma_range(sigmas: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest level above 0: the ends of the Brownian motion of SDE samplers."""
    positive = [sigma for sigma in sigmas if sigma > 0]
    return min(positive), max(positive)


def karras_levels(low: float, high: float, steps: int) -> tuple[float, ...]:
    """`steps` levels from `high` down to `low`: Karras et al. 2022, eq. 5."""
    start, end = high ** (1 / KARRAS_RHO), low ** (1 / KARRAS_RHO)
    ramp = float32_ramp(0.0, 1.0, steps)
    levels = (np.float32(start) + ramp * np.float32(end - start)) ** np.float32(KARRAS_RHO)
    return tuple(levels.tolist())


def _levels(scheduler: Scheduler, steps: int, sampler: Sampler) -> Levels:
    """The whole schedule with its 0; `ddim_uniform` may return more than `steps` levels."""
    make, model = SCHEDULES[scheduler], model_sampling(scheduler)
    if sampler in WITHOUT_PENULTIMATE:
        return np.append(make(model, steps + 1)[:-1], np.float32(0))
    return np.append(make(model, steps), np.float32(0))


def _at(model: ModelSampling, timesteps: NDArray[np.float32]) -> Levels:
    return np.array([model.sigma(float(timestep)) for timestep in timesteps], dtype=np.float32)


def _timestep_ends(model: ModelSampling) -> tuple[float, float]:
    return model.timestep(model.table[-1]), model.timestep(model.table[0])


def _normal(model: ModelSampling, steps: int) -> Levels:
    return _at(model, float32_ramp(*_timestep_ends(model), steps))


def _sgm_uniform(model: ModelSampling, steps: int) -> Levels:
    return _at(model, float32_ramp(*_timestep_ends(model), steps + 1)[:-1])


def _karras(model: ModelSampling, steps: int) -> Levels:
    return np.array(karras_levels(float(model.table[0]), float(model.table[-1]), steps), dtype=np.float32)


def _exponential(model: ModelSampling, steps: int) -> Levels:
    start, end = np.log(model.table[[-1, 0]].astype(np.float64))
    return float32_exp(float32_ramp(start, end, steps))


def _simple(model: ModelSampling, steps: int) -> Levels:
    """Evenly spaced entries of the table, each once: a walk of more steps than it has entries is cut to them."""
    stride = len(model.table) / steps
    places = dict.fromkeys(1 + int(step * stride) for step in range(steps))
    return np.array([model.table[-place] for place in places])


def _ddim_uniform(model: ModelSampling, steps: int) -> Levels:
    stride = max(TRAINING_STEPS // steps, 1)
    return model.table[1::stride][::-1]


def _turbo(model: ModelSampling, steps: int) -> Levels:
    return _at(model, np.arange(LAST_TIMESTEP, 0, -TURBO_STRIDE, dtype=np.float32)[:steps])


def _align_your_steps(model: ModelSampling, steps: int) -> Levels:
    """The ten published steps resampled, linearly in log sigma; the level that stands in for 0 falls away."""
    published = np.linspace(0, 1, len(ALIGN_YOUR_STEPS))
    wanted = np.linspace(0, 1, steps + 1)[:-1]
    return np.exp(np.interp(wanted, published, np.log(ALIGN_YOUR_STEPS))).astype(np.float32)


SCHEDULES: dict[Scheduler, Callable[[ModelSampling, int], Levels]] = {
    Scheduler.NORMAL: _normal,
    Scheduler.KARRAS: _karras,
    Scheduler.EXPONENTIAL: _exponential,
    Scheduler.SGM_UNIFORM: _sgm_uniform,
    Scheduler.SIMPLE: _simple,
    Scheduler.DDIM_UNIFORM: _ddim_uniform,
    Scheduler.LCM: _sgm_uniform,
    Scheduler.TURBO: _turbo,
    Scheduler.ALIGN_YOUR_STEPS: _align_your_steps,
    Scheduler.TCD: _sgm_uniform,
    Scheduler.EDM_PLAYGROUND: _karras,
}
