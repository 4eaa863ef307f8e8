"""A run repeats to the bit, does not depend on its batch, can be wrapped and interrupted, and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.latents import from_sampler, start_scale, to_sampler
from handler.engine.sampling.loop import sample
from handler.engine.sampling.network import UnetNetwork
from handler.engine.sampling.noise import seeded_noise
from handler.engine.sampling.samplers import ALONE, SAMPLERS
from handler.engine.sampling.samplers.run import Run
from handler.plan.model_sampling import model_sampling
from handler.plan.plan import SamplingPlan
from handler.plan.sigmas import schedule, sigma_range
from schemas.enums import Sampler, Scheduler
from tests.handler.engine.sampling.runs import (
    CPU,
    conditioning,
    denoiser,
    guidance_plan,
    own_noise,
    run,
    sampling_plan,
)
from tests.handler.engine.sampling.test_denoiser import NoHost
from tests.support.golden import load_case, tensor_error, within
from tests.support.networks import tiny_unet

FEW_STEPS = load_case("samplers/x06_dpmpp_sde_gpu__karras_n4_cfg1")
SPEED = load_case("samplers/dpmpp_2m_sde_gpu__karras")
TABLES = load_case("sigmas/model_sampling_tables")
LATENT_UNITS = {"eps1000": Scheduler.KARRAS, "lcm": Scheduler.LCM, "edm": Scheduler.EDM_PLAYGROUND}


class Interrupted(Exception):
    pass


def plan_for(sampler: Sampler, steps: int = 4) -> SamplingPlan:
    sigmas = schedule(Scheduler.KARRAS, steps, sampler=sampler)
    return SamplingPlan(sampler, Scheduler.KARRAS, steps, sigmas, *sigma_range(sigmas), denoise=1.0)


def shrink(x: Tensor, sigma: float) -> Tensor:
    """A stand-in for a prediction: each value by itself."""
    return torch.tanh(x) / (1.0 + sigma)


def sample_with(denoise, plan: SamplingPlan, seeds: list[int]) -> Tensor:
    return sample(denoise, plan, seeded_noise(plan, seeds, 8, 8, CPU), lambda *step: None)


def test_a_run_repeats_to_the_bit() -> None:
    first, second = (run(FEW_STEPS, own_noise(FEW_STEPS)) for _ in range(2))
    assert torch.equal(first["final_latent"], second["final_latent"])


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - ALONE))
def test_a_picture_does_not_depend_on_its_batch(sampler: Sampler) -> None:
    plan = plan_for(sampler)
    batch = sample_with(shrink, plan, [7, 8, 9])
    for place, seed in enumerate((7, 8, 9)):
        assert torch.equal(batch[place : place + 1], sample_with(shrink, plan, [seed]))


def test_a_picture_of_the_network_does_not_depend_on_its_batch() -> None:
    plan = sampling_plan(SPEED)
    height, width = SPEED.parameters["latent_size_hw"]
    seeds = [1, SPEED.parameters["seed"]]
    positive, negative = conditioning(SPEED, "positive"), conditioning(SPEED, "negative")
    batch = Denoiser(
        UnetNetwork(tiny_unet()),
        plan.scheduler,
        guidance_plan(SPEED),
        [negative, positive],
        [positive, negative],
        height,
        width,
    )
    latent = sample(batch, plan, seeded_noise(plan, seeds, height, width, CPU), lambda *step: None)
    expected = SPEED.tensors["final_latent"]
    assert tensor_error(latent[1:], expected, within(1e-3 * float(expected.std()), 0.0)) <= 1


@pytest.mark.parametrize("sampler", sorted(set(SAMPLERS) - ALONE))
def test_steps_neither_wait_for_the_device_nor_upload(sampler: Sampler) -> None:
    plan = plan_for(sampler, 22 if sampler is Sampler.RESTART else 6)
    noise = seeded_noise(plan, [5], 8, 8, CPU)
    x = noise.start() * plan.sigma_max
    made = Run(shrink, noise.draw, lambda *step: None, plan.sigmas, model_sampling(plan.scheduler))
    with torch.inference_mode(), NoHost():
        SAMPLERS[sampler](x, made)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_an_interruption_passes_through(sampler: Sampler) -> None:
    seen: list[int] = []

    def interrupt(step: int, total: int, denoised: Tensor) -> None:
        seen.append(step)
        if step == 1:
            raise Interrupted

    plan = plan_for(sampler, 6)
    with pytest.raises(Interrupted):
        sample(shrink, plan, seeded_noise(plan, [5], 8, 8, CPU), interrupt)
    assert seen == [0, 1]


def test_an_interrupted_run_leaves_the_network_as_it_was() -> None:
    unet = tiny_unet()
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    hooks = sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in unet.modules())
    expected = run(FEW_STEPS, own_noise(FEW_STEPS))["final_latent"]

    def interrupt(step: int, total: int, denoised: Tensor) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        sample(denoiser(FEW_STEPS), sampling_plan(FEW_STEPS), own_noise(FEW_STEPS), interrupt)
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    assert hooks == sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks) for module in unet.modules()
    )
    assert torch.equal(run(FEW_STEPS, own_noise(FEW_STEPS))["final_latent"], expected)


def test_reports_count_the_steps() -> None:
    reports: list[tuple[int, int]] = []
    plan = plan_for(Sampler.EULER)
    sample(shrink, plan, seeded_noise(plan, [5], 8, 8, CPU), lambda step, total, x: reports.append((step, total)))
    assert reports == [(0, 4), (1, 4), (2, 4), (3, 4)]


def test_a_denoiser_can_be_wrapped_and_exchanged_between_steps() -> None:
    """What inpainting and a refiner need: a kept half, and another prediction from the second step on."""
    keep = torch.zeros(1, 4, 8, 8)
    keep[..., :4] = 1.0
    calls: list[str] = []
    current = "base"

    def mixed(x: Tensor, sigma: float) -> Tensor:
        calls.append(current)
        return keep * 0.25 + (1.0 - keep) * shrink(x, sigma)

    def exchange(step: int, total: int, denoised: Tensor) -> None:
        nonlocal current
        current = "refiner" if step >= 1 else current

    plan = plan_for(Sampler.EULER)
    latent = sample(mixed, plan, seeded_noise(plan, [5], 8, 8, CPU), exchange)
    assert calls == ["base", "base", "refiner", "refiner"]
    assert torch.allclose(to_sampler(latent, plan.scheduler)[..., :4], torch.tensor(0.25))


def test_a_full_strength_run_starts_on_top_of_its_latent() -> None:
    plan = plan_for(Sampler.EULER)
    started: list[Tensor] = []

    def first(x: Tensor, sigma: float) -> Tensor:
        started.append(x)
        return x

    noise = seeded_noise(plan, [5], 8, 8, CPU)
    unit = seeded_noise(plan, [5], 8, 8, CPU).start()
    latent = torch.full((1, 4, 8, 8), 2.0)
    sample(first, plan, noise, lambda *step: None, latent)
    assert torch.allclose(started[0], unit * (1 + plan.sigmas[0] ** 2) ** 0.5 + 2.0 * 0.13025)


def test_start_scale_preserves_variance_only_from_the_top() -> None:
    top = float(model_sampling(Scheduler.KARRAS).table[-1])
    assert start_scale(top, top) == pytest.approx((1 + top**2) ** 0.5)
    assert start_scale(top * 1.1, top) == pytest.approx((1 + (1.1 * top) ** 2) ** 0.5)
    assert start_scale(7.0, top) == 7.0


@pytest.mark.parametrize("model", LATENT_UNITS)
def test_latent_units(model: str) -> None:
    exact = within(1e-6, 1e-5)
    x, scheduler = TABLES.tensors["x"], LATENT_UNITS[model]
    assert tensor_error(to_sampler(x, scheduler), TABLES.tensors[f"{model}.latent_in"], exact) <= 1
    assert tensor_error(from_sampler(x, scheduler), TABLES.tensors[f"{model}.latent_out"], exact) <= 1


def test_samplers_of_one_picture_at_a_time_are_named() -> None:
    """Its steps follow the whole batch's error: the pictures of a batch differ from those sampled alone."""
    plan = plan_for(Sampler.DPM_ADAPTIVE)
    batch = sample_with(shrink, replace(plan, sampler=Sampler.DPM_ADAPTIVE), [7, 8])
    alone = sample_with(shrink, plan, [7])
    assert {Sampler.DPM_ADAPTIVE} == ALONE
    assert not torch.equal(batch[:1], alone)
