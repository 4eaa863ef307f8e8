"""Every sampler gives Fooocus's latent, from the seed alone or from the recorded noise, by the same model calls.

By default each sampler runs with one schedule; `--run-slow` adds its second.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from benchmarks.parity.runs import FOREIGN_NOISE
from handler.engine.sampling.samplers import SAMPLERS
from handler.engine.sampling.samplers.dpm_solver import fast_orders
from handler.engine.sampling.samplers.lms import multistep_weights
from handler.engine.sampling.samplers.restart import restart_levels
from handler.engine.sampling.samplers.run import Run
from handler.plan.model_sampling import model_sampling
from handler.plan.sigmas import schedule
from schemas.enums import Sampler, Scheduler
from tests.handler.engine.sampling.runs import RecordedNoise, own_noise, recorded_results, run
from tests.support.golden import Case, Rule, cases, rule_for, tensor_error, within

RUNS = cases("samplers")
FEW_STEPS = 6
MANY_CALLS = 50
# Adaptive steps follow the last digits of their error estimates, which depend on how a call is batched.
ADAPTIVE_CALLS = within(0.0, 1e-3)


def is_slow(case: Case) -> bool:
    """A sampler's second schedule, or a run of very many model calls."""
    second = case.folder.name == f"{case.parameters['sampler']}__normal"
    return second or len(case.tensors["eval_sigma"]) > MANY_CALLS


def parametrized(found: list[Case]) -> list[object]:
    return [pytest.param(case, id=case.id, marks=[pytest.mark.slow] * is_slow(case)) for case in found]


def rule(case: Case, name: str) -> Rule:
    adaptive = case.parameters["sampler"] == Sampler.DPM_ADAPTIVE and name.startswith("eval_sigma")
    return ADAPTIVE_CALLS if adaptive else rule_for(case, name)


def check(case: Case, results: dict[str, Tensor]) -> None:
    """Fooocus's tcd ends in NaN where a schedule goes down to timestep 0: there only finite rows are compared."""
    for name in recorded_results(case):
        expected, actual = case.tensors[name], results[name]
        rows = expected.isfinite().reshape(len(expected), -1).all(dim=1)
        assert actual.shape == expected.shape, name
        assert bool(actual.isfinite().all()), name
        assert tensor_error(actual[rows], expected[rows], rule(case, name)) <= 1, name


@pytest.mark.parametrize("case", parametrized([case for case in RUNS if FOREIGN_NOISE not in case.flags]))
def test_a_seed_gives_the_recorded_latent(case: Case) -> None:
    check(case, run(case, own_noise(case)))


@pytest.mark.parametrize(
    "case",
    parametrized(
        [
            case
            for case in RUNS
            if "drawn_noise" in case.tensors
            and (FOREIGN_NOISE in case.flags or case.parameters["steps"] <= FEW_STEPS)
        ]
    ),
)
def test_recorded_noise_gives_the_recorded_latent(case: Case) -> None:
    check(case, run(case, RecordedNoise(case)))


def test_every_sampler_is_recorded_and_known() -> None:
    assert set(SAMPLERS) == {Sampler(case.parameters["sampler"]) for case in RUNS} == set(Sampler)


class Line:
    """A network that always predicts the same: every sampler must end there."""

    def __init__(self) -> None:
        self.goal = torch.full((1, 4, 8, 8), 0.5)
        self.reports: list[tuple[int, int]] = []

    def run(self, sampler: Sampler, steps: int) -> Tensor:
        sigmas = schedule(Scheduler.NORMAL, steps, sampler=sampler)
        made = Run(
            denoise=lambda x, sigma: self.goal,
            draw=lambda sigma, sigma_next: torch.ones_like(self.goal),
            on_step=lambda step, total, denoised: self.reports.append((step, total)),
            sigmas=sigmas,
            model=model_sampling(Scheduler.NORMAL),
        )
        return SAMPLERS[sampler](torch.full_like(self.goal, 10.0), made)


STOP_ABOVE_ZERO = {Sampler.DPM_FAST, Sampler.DPM_ADAPTIVE}


@pytest.mark.parametrize("steps", [1, 2, 3, 25])
@pytest.mark.parametrize("sampler", sorted(set(Sampler) - STOP_ABOVE_ZERO))
def test_any_number_of_steps_ends_at_the_prediction(sampler: Sampler, steps: int) -> None:
    line = Line()
    end = line.run(sampler, steps)
    assert end.sub(line.goal).abs().max() < 0.1
    assert [step for step, _ in line.reports] == list(range(line.reports[0][1]))


@pytest.mark.parametrize("sampler", sorted(STOP_ABOVE_ZERO))
def test_solvers_that_stop_above_zero_stop_at_the_last_level(sampler: Sampler) -> None:
    line = Line()
    end = line.run(sampler, 8)
    sigmas = schedule(Scheduler.NORMAL, 8, sampler=sampler)
    assert torch.allclose(end - line.goal, (10.0 - line.goal) * sigmas[-2] / sigmas[0], atol=1e-5)


def test_orders_of_dpm_fast_make_up_its_calls() -> None:
    assert fast_orders(9) == [3, 3, 2, 1]
    assert all(sum(fast_orders(calls)) == calls for calls in range(1, 40))


def test_restart_repeats_a_segment_and_keeps_the_number_of_steps() -> None:
    for steps, restarts in ((19, 0), (20, 1), (35, 1), (36, 2), (60, 2)):
        walked = restart_levels(schedule(Scheduler.KARRAS, steps, sampler=Sampler.RESTART))
        jumps = [before for before, after in pairwise(walked) if after[0] > before[1]]
        assert (len(walked), len(jumps)) == (steps, restarts)


def test_multistep_weights_integrate_polynomials_exactly() -> None:
    sigmas = (9.0, 6.0, 4.0, 3.0, 1.0)
    weights = multistep_weights(sigmas, 3, 4)
    for power in range(4):
        area = (sigmas[4] ** (power + 1) - sigmas[3] ** (power + 1)) / (power + 1)
        nodes = [sigmas[3 - back] ** power for back in range(4)]
        assert sum(w * n for w, n in zip(weights, nodes, strict=True)) == pytest.approx(area)
