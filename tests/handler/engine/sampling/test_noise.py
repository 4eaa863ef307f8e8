"""A seed gives Fooocus's noise, to the bit where it is drawn on the CPU, whatever else is in the batch."""

from __future__ import annotations

import warnings

import pytest
import torch

from benchmarks.parity.runs import FOREIGN_NOISE
from handler.engine.sampling.noise import BrownianNoise, GaussianNoise
from tests.handler.engine.sampling.runs import CPU, own_noise, sampling_plan
from tests.support.golden import Case, cases

RUNS = cases("samplers") + cases("guidance", lambda case: "sampler" in case.parameters)
BROWNIAN = [
    case
    for case in RUNS
    if "brownian" in case.parameters["noise_source"]
    and "drawn_noise" in case.tensors
    and FOREIGN_NOISE not in case.flags
]
GAUSSIAN = [case for case in RUNS if "randn" in case.parameters["noise_source"]]
SEEDS = [3, 2**63 - 1, 0]


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.id)
def test_start(case: Case) -> None:
    assert torch.equal(own_noise(case).start(), case.tensors["initial_noise"])


@pytest.mark.parametrize("case", GAUSSIAN, ids=lambda case: case.id)
def test_gaussian_draws_follow_the_start(case: Case) -> None:
    noise = own_noise(case)
    noise.start()
    for drawn in case.tensors.get("drawn_noise", ()):
        assert torch.equal(noise.draw(2.0, 1.0), drawn[None])


@pytest.mark.parametrize("case", BROWNIAN, ids=lambda case: case.id)
def test_brownian_draws_go_by_the_noise_levels(case: Case) -> None:
    noise = own_noise(case)
    levels = case.tensors["drawn_noise_sigma"].tolist()
    for (sigma, sigma_next), drawn in zip(levels, case.tensors["drawn_noise"], strict=True):
        assert torch.allclose(noise.draw(sigma, sigma_next), drawn[None], rtol=0, atol=2e-6)


def test_brownian_steps_add_up() -> None:
    noise = BrownianNoise([5], 8, 8, CPU, 0.1, 10.0)
    whole = noise.draw(9.0, 1.0) * 8.0**0.5
    parts = noise.draw(9.0, 4.0) * 5.0**0.5 + noise.draw(4.0, 1.0) * 3.0**0.5
    assert torch.allclose(whole, parts, atol=1e-5)


def test_brownian_ends_are_taken_as_given() -> None:
    plan = sampling_plan(BROWNIAN[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        noise = BrownianNoise([5], 8, 8, CPU, plan.sigma_min, plan.sigma_max)
        assert noise.draw(plan.sigma_max, plan.sigma_min).std() == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("kind", ["gaussian", "brownian"])
def test_a_picture_has_its_own_noise_in_any_batch(kind: str) -> None:
    def make(seeds: list[int]) -> GaussianNoise:
        if kind == "gaussian":
            return GaussianNoise(seeds, 8, 12, CPU)
        return BrownianNoise(seeds, 8, 12, CPU, 0.03, 14.6)

    batch = make(SEEDS)
    drawn = [batch.start(), batch.draw(14.6, 5.0), batch.draw(5.0, 0.5)]
    for place, seed in enumerate(SEEDS):
        alone = make([seed])
        expected = [alone.start(), alone.draw(14.6, 5.0), alone.draw(5.0, 0.5)]
        for batched, single in zip(drawn, expected, strict=True):
            assert torch.equal(batched[place : place + 1], single)


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    noise = BrownianNoise([5], 8, 8, CPU, 0.1, 10.0)
    noise.start()
    noise.draw(10.0, 1.0)
    assert torch.equal(torch.random.get_rng_state(), before)
