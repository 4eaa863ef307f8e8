"""Noise schedules are Fooocus's intended ones, for every scheduler, step count, partial denoise and sampler."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from handler.plan.model_sampling import alphas_cumprod, model_sampling
from handler.plan.sigmas import schedule, sigma_range
from schemas.enums import Sampler, Scheduler
from tests.support.golden import EXACT, Case, cases, load_case, tensor_error

LISTS = cases("sigmas", lambda case: "scheduler" in case.parameters)
TABLES = load_case("sigmas/model_sampling_tables")
MODELS = {
    "eps1000": Scheduler.NORMAL,
    "lcm": Scheduler.LCM,
    "tcd": Scheduler.TCD,
    "edm": Scheduler.EDM_PLAYGROUND,
}
# The table's queries are of the thousand steps; EDM's own timesteps span about four units.
TIMESTEP_UNIT = {"edm": 250.0}


def whole_run(levels: torch.Tensor, steps: int) -> torch.Tensor:
    """A recorded list as a run uses it: no more than its steps, and 0 at the end."""
    levels = levels[: steps + 1].clone()
    levels[-1] = 0.0
    return levels


@pytest.mark.parametrize("case", LISTS, ids=lambda case: case.id)
def test_every_recorded_list(case: Case) -> None:
    scheduler = Scheduler(case.parameters["scheduler"])
    for name in case.names("expected"):
        _, sampler, steps, denoise = name.split(".", 3)
        steps, denoise = int(steps[1:]), float(denoise[1:])
        actual = torch.tensor(schedule(scheduler, steps, denoise, sampler=Sampler(sampler)))
        assert tensor_error(actual, whole_run(case.tensors[name], steps), EXACT) <= 1, name


def test_every_scheduler_is_recorded() -> None:
    assert {Scheduler(case.parameters["scheduler"]) for case in LISTS} == set(Scheduler)


@pytest.mark.parametrize("model", MODELS)
def test_model_sampling_tables(model: str) -> None:
    sampling, given_ = model_sampling(MODELS[model]), TABLES.tensors
    unit = TIMESTEP_UNIT.get(model, 1.0)
    results = {
        "sigmas": sampling.table,
        "sigma_to_timestep": [sampling.timestep(sigma) for sigma in given_["query_sigma"].tolist()],
        "timestep_to_sigma": [sampling.sigma(time / unit) for time in given_["query_timestep"].tolist()],
        "percent_to_sigma": [sampling.sigma_at_progress(share) for share in given_["query_percent"].tolist()],
    }
    for index, sigma in enumerate(given_["scale_sigmas"].tolist()):
        factors = sampling.scalings(sigma)
        results[f"scaled_input.{index}"] = factors.c_in * given_["x"]
        results[f"denoised.{index}"] = factors.c_skip * given_["x"] + factors.c_out * given_["model_output"]
    for name, actual in results.items():
        actual = torch.as_tensor(actual)
        assert tensor_error(actual, TABLES.tensors[f"{model}.{name}"], EXACT) <= 1, name


def test_signal_of_the_training_steps() -> None:
    assert tensor_error(alphas_cumprod(), TABLES.tensors["eps1000.alphas_cumprod"], EXACT) <= 1


@given(st.sampled_from(Scheduler), st.sampled_from(Sampler), st.integers(1, 200), st.floats(0.05, 1.0))
@example(Scheduler.SIMPLE, Sampler.DPMPP_2M, 200, 0.05)
def test_a_schedule_falls_to_zero_in_the_steps_asked(
    scheduler: Scheduler, sampler: Sampler, steps: int, denoise: float
) -> None:
    sigmas = schedule(scheduler, steps, denoise, sampler=sampler)
    assert sigmas[-1] == 0.0
    assert all(above > below for above, below in pairwise(sigmas))
    assert len(sigmas) == steps + 1 or (scheduler is Scheduler.TURBO and len(sigmas) <= 11)


def test_partial_denoise_is_the_end_of_a_longer_schedule() -> None:
    whole = schedule(Scheduler.KARRAS, 47, sampler=Sampler.DPMPP_2M_SDE)
    assert schedule(Scheduler.KARRAS, 18, 0.382, sampler=Sampler.DPMPP_2M_SDE) == whole[-19:]


def test_brownian_range_is_of_the_levels_above_zero() -> None:
    assert sigma_range((7.0, 3.0, 0.5, 0.0)) == (0.5, 7.0)
