"""Control-LoRAs: runs with one or several, and what the first call is told by them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.parity.areas.samplers import is_run
from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.runs import (
    Log,
    WatchedDenoiser,
    WatchedNetwork,
    results_of,
    run_noise,
    sampling_plan,
    watched_stages,
)
from benchmarks.parity.vectors import Case
from handler.engine.control.controlnet import load_controlnet
from handler.engine.control.residuals import SteeredNetwork, Steering, embedded_hint, strengths
from handler.engine.sampling.loop import sample
from handler.engine.sampling.network import Network, NetworkInput, Residuals
from handler.engine.sampling.refining import Handover, joint
from handler.plan.model_sampling import model_sampling
from handler.plan.plan import SamplingPlan

RESIDUALS = 10
MIDDLE = "_middle"


class WatchedResiduals(WatchedNetwork):
    """Notes what each call is told beside its inputs."""

    def __init__(self, unet: Any, log: Log) -> None:
        super().__init__(unet, log)
        self.told: list[Residuals | None] = []

    def __call__(self, inputs: NetworkInput, residuals: Residuals | None = None) -> Tensor:
        self.told.append(residuals)
        return super().__call__(inputs, residuals)


def steerings(case: Case, networks: Networks, plan: SamplingPlan) -> list[Steering]:
    """Those that act; the others are told from these by their weight."""
    unet = networks.model.unet
    sampling = model_sampling(plan.scheduler)
    found = []
    for control in case.parameters["controls"]:
        if control["weight"] == 0:
            continue
        network = load_controlnet(case.folder / control["file"], unet)
        hint = embedded_hint(network, case.picture(control["hint"]), *case.parameters["latent_size_hw"])
        factors = strengths(control["weight"], case.parameters["softness"], RESIDUALS)
        found.append(Steering(network, hint, factors, sampling.sigma_at_progress(control["stop"])))
    return found


def run(case: Case, networks: Networks) -> Results:
    log, plan = Log(), sampling_plan(case)
    watched = WatchedResiduals(networks.model.unet, log)
    active = steerings(case, networks, plan)
    network: Network = SteeredNetwork(watched, active) if active else watched
    base = WatchedDenoiser(case, networks.model.unet, log, network=network)
    noise = run_noise(case, plan)
    with watched_stages(plan.sampler, log):
        if "switch" in case.parameters:
            refiner = WatchedDenoiser(case, networks.refiner, log, by_refiner=True)
            latent = joint(Handover(base, refiner, case.parameters["switch"], plan, noise, log.on_step))
        else:
            latent = sample(base, plan, noise, log.on_step)
    controlled = [residuals is not None for residuals in watched.told]
    controlled += [False] * (len(log.sigmas) - len(controlled))
    return results_of(case, log, plan, latent) | _first(watched) | {"eval_control_active": torch.tensor(controlled)}


def _first(watched: WatchedResiduals) -> dict[str, Any]:
    """The first call's residuals for its positive row, which is the first."""
    told = watched.told[0]
    if told is None:
        return {}
    every = [*told.down, told.middle]
    names = [f"first_call_residual_{index}" for index in range(len(every))]
    names[-1] += MIDDLE
    return {name: residual[:1] for name, residual in zip(names, every, strict=True)}


def _is_controlled(case: Case) -> bool:
    return bool(case.parameters.get("controls")) and is_run(case)


KINDS = (Kind(_is_controlled, run),)
