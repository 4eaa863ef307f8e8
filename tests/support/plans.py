"""Small plans to render."""

from __future__ import annotations

from dataclasses import replace

from handler.engine.engine import WARM_UP
from handler.plan.plan import Plan, SamplingPlan
from handler.plan.sigmas import schedule, sigma_range
from schemas.enums import Sampler, Scheduler


def small_plan(steps: int) -> Plan:
    """One picture of 64x64 pixels with guidance, by Euler's method."""
    sigmas = schedule(Scheduler.KARRAS, steps, sampler=Sampler.EULER)
    sampling = SamplingPlan(Sampler.EULER, Scheduler.KARRAS, steps, sigmas, *sigma_range(sigmas), denoise=1.0)
    return replace(WARM_UP, width=64, height=64, sampling=sampling)
