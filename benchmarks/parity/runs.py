"""Sampler runs as cases record them, by the worker's own loop, watched from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from benchmarks.parity.outcome import Omitted, Share
from benchmarks.parity.tolerance import tensor_error, within
from benchmarks.parity.vectors import Case
from handler.engine.sampling.calls import DescribeSize, sdxl_ids
from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.loop import sample
from handler.engine.sampling.network import Network, NetworkInput, Residuals, UnetNetwork
from handler.engine.sampling.noise import Noise, seeded_noise
from handler.engine.sampling.samplers import SAMPLERS
from handler.engine.sampling.samplers.run import Run
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
# Their step report comes after the update.
REPORT_AFTERWARDS = frozenset({Sampler.UNI_PC, Sampler.UNI_PC_BH2})


class RecordedNoise:
    """A case's own noise, in the order in which it was used."""

    def __init__(self, case: Case) -> None:
        self._start = case.tensors["initial_noise"]
        self._drawn = iter(case.tensors.get("drawn_noise", torch.empty(0)))

    def start(self) -> Tensor:
        return self._start

    def draw(self, sigma: float, sigma_next: float) -> Tensor:
        return next(self._drawn)[None]


@dataclass
class Log:
    """What happened in a run. x, predictions: per evaluation, before guidance; ids, timesteps: per row of a call.

    reported: the prediction of each step; stages: latent and levels of each walk of a sampler.
    """

    sigmas: list[float] = field(default_factory=list)
    by_refiner: list[bool] = field(default_factory=list)
    x: list[Tensor] = field(default_factory=list)
    predictions: list[Tensor] = field(default_factory=list)
    timesteps: list[float] = field(default_factory=list)
    ids: list[Tensor] = field(default_factory=list)
    reported: list[Tensor] = field(default_factory=list)
    stages: list[tuple[Tensor, tuple[float, ...]]] = field(default_factory=list)

    def on_step(self, step: int, steps: int, denoised: Tensor) -> None:
        self.reported.append(denoised.clone())


class WatchedNetwork(UnetNetwork):
    """Notes what each row is told."""

    def __init__(self, unet: UNet2DConditionModel, log: Log) -> None:
        super().__init__(unet)
        self._log = log

    def __call__(self, inputs: NetworkInput, residuals: Residuals | None = None) -> Tensor:
        self._log.timesteps += inputs.timesteps.tolist()
        self._log.ids += inputs.time_ids.clone()
        return super().__call__(inputs, residuals)


class WatchedDenoiser(Denoiser):
    """The denoiser of a case's one picture; notes what each evaluation is given and predicts before guidance.

    network: what stands for the UNet, where that is more than the UNet itself.
    """

    def __init__(
        self,
        case: Case,
        unet: UNet2DConditionModel,
        log: Log,
        sides: tuple[Conditioning, Conditioning] | None = None,
        describe: DescribeSize = sdxl_ids,
        by_refiner: bool = False,
        network: Network | None = None,
    ) -> None:
        positive, negative = sides or conditionings(case)
        super().__init__(
            network or WatchedNetwork(unet, log),
            Scheduler(case.parameters["scheduler"]),
            guidance_plan(case),
            [positive],
            [negative],
            *case.parameters["latent_size_hw"],
            describe,
        )
        self._log = log
        self._by_refiner = by_refiner

    def predict(self, x: Tensor, sigma: float) -> Tensor:
        predictions = super().predict(x, sigma)
        self._log.sigmas.append(sigma)
        self._log.by_refiner.append(self._by_refiner)
        self._log.x.append(x.clone())
        self._log.predictions.append(predictions[:, 0].clone())
        return predictions


@contextmanager
def watched_stages(sampler: Sampler, log: Log) -> Iterator[None]:
    """Inside, every walk of the sampler is noted."""
    walk = SAMPLERS[sampler]

    def noted(x: Tensor, run: Run) -> Tensor:
        log.stages.append((x.clone(), tuple(run.sigmas)))
        return walk(x, run)

    SAMPLERS[sampler] = noted
    try:
        yield
    finally:
        SAMPLERS[sampler] = walk


def sampling_plan(case: Case) -> SamplingPlan:
    """The plan of a case, made anew: its recorded sigmas are not looked at."""
    wanted = case.parameters
    sampler, scheduler = Sampler(wanted["sampler"]), Scheduler(wanted["scheduler"])
    denoise = wanted.get("denoise", 1.0)
    sigmas = schedule(scheduler, wanted["steps"], denoise, sampler=sampler)
    return SamplingPlan(sampler, scheduler, len(sigmas) - 1, sigmas, *sigma_range(sigmas), denoise)


def guidance_plan(case: Case) -> GuidancePlan:
    settings = case.parameters["settings"]
    names = ("sharpness", "adaptive_cfg", "adm_positive", "adm_negative", "adm_end")
    return GuidancePlan(cfg=case.parameters["cfg"], **{name: settings[name] for name in names})


def conditionings(case: Case) -> tuple[Conditioning, Conditioning]:
    """Positive and negative."""
    given = case.tensors
    positive, negative = (Conditioning(given[f"{side}_cond"], given[f"{side}_pooled"]) for side in SIDES)
    return positive, negative


SIDES = ("positive", "negative")


def run_noise(case: Case, plan: SamplingPlan) -> Noise:
    """The worker's own noise from the case's seed, unless no seed can give it."""
    if FOREIGN_NOISE in case.flags:
        return RecordedNoise(case)
    height, width = case.parameters["latent_size_hw"]
    return seeded_noise(plan, [case.parameters["seed"]], height, width, CPU)


def one_network(case: Case, unet: UNet2DConditionModel) -> dict[str, Any]:
    """The results of a run with one UNet, by the names of the vectors."""
    log, plan = Log(), sampling_plan(case)
    denoiser = WatchedDenoiser(case, unet, log)
    with watched_stages(plan.sampler, log):
        latent = sample(denoiser, plan, run_noise(case, plan), log.on_step, case.tensors.get("input_latent"))
    return results_of(case, log, plan, latent)


def results_of(case: Case, log: Log, plan: SamplingPlan, latent: Tensor) -> dict[str, Any]:
    """A log by the names of the vectors."""
    results = {"final_latent": latent, "step_denoised": torch.cat(log.reported), "step_x": _step_x(log, plan.sampler)}
    for stage, (_, sigmas) in enumerate(log.stages):
        results |= dict.fromkeys(["sigmas", f"sigmas_stage{stage + 1}"], torch.tensor(sigmas))
    results |= _evaluations(log)
    if plan.sampler is Sampler.DPM_ADAPTIVE and "eval_sigma" in case.tensors:
        results["eval_sigma"] = Share(tensor_error(results["eval_sigma"], case.tensors["eval_sigma"], ADAPTIVE_LEVELS))
    return results


def _step_x(log: Log, sampler: Sampler) -> Tensor | Omitted:
    """The state of a step is that of its only evaluation."""
    if len(log.x) == len(log.reported) and sampler not in REPORT_AFTERWARDS:
        return torch.cat(log.x)
    return Omitted("state between evaluations, which no callback is given here")


def _evaluations(log: Log) -> dict[str, Any]:
    """Per evaluation of the one picture; its rows are one or two sides, in order."""
    predictions = torch.stack(log.predictions)
    sides = predictions.shape[1]
    timesteps = torch.tensor(log.timesteps[::sides], dtype=torch.float64)
    unseen = Omitted("negative side of a run at CFG 1, which is never computed")
    results: dict[str, Any] = {
        "eval_sigma": torch.tensor(log.sigmas),
        "eval_timestep": timesteps,
        "eval_progress": 1.0 - timesteps / LAST_TIMESTEP,
        "eval_is_refiner": torch.tensor(log.by_refiner),
        "eval_x": torch.cat(log.x),
        "eval_cond_denoised": predictions[:, 0],
        "eval_uncond_denoised": predictions[:, 1] if sides > 1 else unseen,
        "eval_time_ids_negative": unseen,
    }
    if len({len(ids) for ids in log.ids}) == 1:
        for side, name in enumerate(SIDES[:sides]):
            results[f"eval_time_ids_{name}"] = torch.stack(log.ids[side::sides])
    return results
