"""Sampler runs as cases record them, by the worker's own loop, watched from outside."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from benchmarks.parity.outcome import Omitted, Share
from benchmarks.parity.tolerance import tensor_error, within
from benchmarks.parity.vectors import Case
from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.loop import sample
from handler.engine.sampling.network import NetworkInput, UnetNetwork
from handler.engine.sampling.noise import Noise, seeded_noise
from handler.engine.types import Conditioning
from handler.plan.model_sampling import LAST_TIMESTEP
from handler.plan.plan import GuidancePlan, SamplingPlan
from handler.plan.sigmas import schedule, sigma_range
from schemas.enums import Sampler, Scheduler

CPU = torch.device("cpu")
# No seed gives the noise of these runs: its Brownian range is of another model than their sigmas.
FOREIGN_NOISE = "bug:brownian_range_before_model_patch"
# Levels that follow the last digits of error estimates are results like latents, and held to their tolerance.
ADAPTIVE_LEVELS = within(0.0, 1e-3)
MULTISTEP_UPDATE = frozenset({Sampler.UNI_PC, Sampler.UNI_PC_BH2})


class RecordedNoise:
    """A case's own noise, in the order in which it was used."""

    def __init__(self, case: Case) -> None:
        self._start = case.tensors["initial_noise"]
        self._drawn = iter(case.tensors.get("drawn_noise", torch.empty(0)))

    def start(self) -> Tensor:
        return self._start

    def draw(self, sigma: float, sigma_next: float) -> Tensor:
        return next(self._drawn)[None]


class WatchedNetwork(UnetNetwork):
    """Notes what each row was told: sigma, timestep, size ids."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__(unet)
        self.rows: list[tuple[float, float, Tensor]] = []

    def __call__(self, inputs: NetworkInput) -> Tensor:
        timesteps = inputs.timesteps.tolist()
        self.rows += zip([inputs.sigma] * len(timesteps), timesteps, inputs.time_ids.clone(), strict=True)
        return super().__call__(inputs)


class WatchedDenoiser(Denoiser):
    """Notes what each evaluation was given and what it predicted before guidance."""

    inputs: list[Tensor]
    predictions: list[Tensor]

    def predict(self, x: Tensor, sigma: float) -> Tensor:
        predictions = super().predict(x, sigma)
        self.inputs.append(x.clone())
        self.predictions.append(predictions.clone())
        return predictions


def sampling_plan(case: Case) -> SamplingPlan:
    """The plan of a case, made anew: its recorded sigmas are not looked at."""
    wanted = case.parameters
    sampler, scheduler = Sampler(wanted["sampler"]), Scheduler(wanted["scheduler"])
    sigmas = schedule(scheduler, wanted["steps"], wanted.get("denoise", 1.0), sampler=sampler)
    return SamplingPlan(sampler, scheduler, len(sigmas) - 1, sigmas, *sigma_range(sigmas))


def guidance_plan(case: Case) -> GuidancePlan:
    settings = case.parameters["settings"]
    names = ("sharpness", "adaptive_cfg", "adm_positive", "adm_negative", "adm_end")
    return GuidancePlan(cfg=case.parameters["cfg"], **{name: settings[name] for name in names})


def conditioning(case: Case, side: str) -> Conditioning:
    """side: positive or negative."""
    return Conditioning(case.tensors[f"{side}_cond"], case.tensors[f"{side}_pooled"])


def run_noise(case: Case, plan: SamplingPlan) -> Noise:
    """The worker's own noise from the case's seed, unless no seed can give it."""
    if FOREIGN_NOISE in case.flags:
        return RecordedNoise(case)
    height, width = case.parameters["latent_size_hw"]
    return seeded_noise(plan, [case.parameters["seed"]], height, width, CPU)


def one_network(case: Case, unet: UNet2DConditionModel) -> dict[str, Any]:
    """The results of a run with one UNet, by the names of the vectors."""
    network, plan = WatchedNetwork(unet), sampling_plan(case)
    denoiser = WatchedDenoiser(
        network,
        plan.scheduler,
        guidance_plan(case),
        [conditioning(case, "positive")],
        [conditioning(case, "negative")],
        *case.parameters["latent_size_hw"],
    )
    denoiser.inputs, denoiser.predictions = [], []
    reported: list[Tensor] = []
    latent = sample(
        denoiser,
        plan,
        run_noise(case, plan),
        lambda step, steps, denoised: reported.append(denoised.clone()),
        case.tensors.get("input_latent"),
    )
    results = {"final_latent": latent, "sigmas": torch.tensor(plan.sigmas), "step_denoised": torch.cat(reported)}
    results |= evaluations(network, sides=len(denoiser.predictions[0]))
    if plan.sampler is Sampler.DPM_ADAPTIVE:
        results["eval_sigma"] = Share(tensor_error(results["eval_sigma"], case.tensors["eval_sigma"], ADAPTIVE_LEVELS))
    return results | _states(denoiser, plan.sampler, len(reported))


def evaluations(network: WatchedNetwork, sides: int) -> dict[str, Any]:
    """Per evaluation of the one picture, what the network was told. sides: 1 where there is no negative one."""
    sigmas, timesteps, _ = zip(*network.rows[::sides], strict=True)
    timestep = torch.tensor(timesteps, dtype=torch.float64)
    results: dict[str, Any] = {
        "eval_sigma": torch.tensor(sigmas),
        "eval_timestep": timestep,
        "eval_progress": 1.0 - timestep / LAST_TIMESTEP,
        "eval_time_ids_negative": Omitted("negative side of a run at CFG 1, which is never computed"),
    }
    for side, name in enumerate(("positive", "negative")[:sides]):
        results[f"eval_time_ids_{name}"] = torch.stack([ids for _, _, ids in network.rows[side::sides]])
    return results


def _states(denoiser: WatchedDenoiser, sampler: Sampler, steps: int) -> dict[str, Any]:
    """What went into the evaluations and came out; the state of a step is that of its only evaluation."""
    inputs, predictions = torch.cat(denoiser.inputs), torch.stack(denoiser.predictions)
    results: dict[str, Any] = {"eval_x": inputs, "eval_cond_denoised": predictions[:, 0, 0]}
    if predictions.shape[1] > 1:
        results["eval_uncond_denoised"] = predictions[:, 1, 0]
    told = len(inputs) == steps and sampler not in MULTISTEP_UPDATE
    results["step_x"] = inputs if told else Omitted("state between evaluations, which no callback is given here")
    return results
