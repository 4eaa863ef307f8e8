"""Noise schedules, and the tables of the model samplings."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.outcome import Omitted, Share
from benchmarks.parity.tolerance import EXACT, tensor_error
from benchmarks.parity.vectors import EXPECTED, Case
from handler.engine.sampling.latents import from_sampler, to_sampler
from handler.plan.model_sampling import ModelSampling, alphas_cumprod, model_sampling
from handler.plan.sigmas import schedule
from schemas.enums import Sampler, Scheduler

INTENDED = "intended."
MAIN = "main."
SCHEDULER_OF = {
    "eps1000": Scheduler.NORMAL,
    "lcm": Scheduler.LCM,
    "tcd": Scheduler.TCD,
    "edm": Scheduler.EDM_PLAYGROUND,
}
# The queries are of the thousand steps; EDM's own timesteps span about four units.
TIMESTEP_UNIT = {"edm": 250.0}


def lists(case: Case, networks: Networks) -> Results:
    """Lists are named `<part>.<sampler>.n<steps>.d<denoise>`."""
    return {name: _list(case, name) for name in case.names(EXPECTED)}


def _list(case: Case, name: str) -> Any:
    part, sampler, steps, denoise = name.split(".", 3)
    if part + "." == MAIN and any(flag.startswith("bug:main_sampler") for flag in case.flags):
        return Omitted("list of the normal schedule that Fooocus's sampler uses under this name")
    if part + "." not in (MAIN, INTENDED):
        return Omitted(f"list {part!r} of a schedule")
    count = int(steps.removeprefix("n"))
    scheduler = Scheduler(case.parameters["scheduler"])
    made = schedule(scheduler, count, float(denoise.removeprefix("d")), sampler=Sampler(sampler))
    return Share(tensor_error(torch.tensor(made), whole_run(case.tensors[name], count), EXACT))


def whole_run(levels: Tensor, steps: int) -> Tensor:
    """A recorded list as a run uses it: no more than its steps, and 0 at the end."""
    levels = levels[: steps + 1].clone()
    levels[-1] = 0.0
    return levels


def tables(case: Case, networks: Networks) -> Results:
    results: dict[str, Any] = {}
    for name in case.parameters["model_samplings"]:
        scheduler = SCHEDULER_OF[name]
        own = _table(model_sampling(scheduler), case.tensors, TIMESTEP_UNIT.get(name, 1.0))
        own["alphas_cumprod"] = alphas_cumprod()
        own["latent_in"] = to_sampler(case.tensors["x"], scheduler)
        own["latent_out"] = from_sampler(case.tensors["x"], scheduler)
        results |= {f"{name}.{part}": value for part, value in own.items()}
    return results


def _table(sampling: ModelSampling, given: dict[str, Tensor], unit: float) -> dict[str, Any]:
    results: dict[str, Any] = {
        "sigmas": sampling.table,
        "sigma_to_timestep": [sampling.timestep(sigma) for sigma in given["query_sigma"].tolist()],
        "timestep_to_sigma": [sampling.sigma(time / unit) for time in given["query_timestep"].tolist()],
        "percent_to_sigma": [sampling.sigma_at_progress(share) for share in given["query_percent"].tolist()],
    }
    for index, sigma in enumerate(given["scale_sigmas"].tolist()):
        factors = sampling.scalings(sigma)
        results[f"scaled_input.{index}"] = factors.c_in * given["x"]
        results[f"denoised.{index}"] = factors.c_skip * given["x"] + factors.c_out * given["model_output"]
    return results


KINDS = (
    Kind(lambda case: "scheduler" in case.parameters, lists),
    Kind(lambda case: "model_samplings" in case.parameters, tables),
)
