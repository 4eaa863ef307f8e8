"""Golden sampler runs on the tiny network, with the recorded noise or with noise made from the seed."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.parity.runs import CPU, RecordedNoise, guidance_plan, sampling_plan
from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.loop import sample
from handler.engine.sampling.network import Network, NetworkInput, UnetNetwork
from handler.engine.sampling.noise import Noise, seeded_noise
from handler.engine.types import Conditioning
from schemas.enums import Scheduler
from tests.support.golden import Case
from tests.support.networks import tiny_unet

__all__ = ["CPU", "RecordedNoise", "guidance_plan", "sampling_plan"]


class WatchedNetwork:
    """The tiny network, noting what each row was told: sigma, timestep, size ids."""

    def __init__(self) -> None:
        self._network = UnetNetwork(tiny_unet())
        self.dtype = self._network.dtype
        self.rows: list[tuple[float, float, Tensor]] = []

    def __call__(self, inputs: NetworkInput) -> Tensor:
        timesteps = inputs.timesteps.tolist()
        self.rows += zip([inputs.sigma] * len(timesteps), timesteps, inputs.time_ids, strict=True)
        return self._network(inputs)

    def evaluations(self, sides: int) -> dict[str, Tensor]:
        """Per model evaluation of one picture, in the golden set's names."""
        sigmas, timesteps, _ = zip(*self.rows[::sides], strict=True)
        named = {"eval_sigma": torch.tensor(sigmas), "eval_timestep": torch.tensor(timesteps)}
        for side, name in enumerate(("positive", "negative")[:sides]):
            named[f"eval_time_ids_{name}"] = torch.stack([ids for _, _, ids in self.rows[side::sides]])
        return named


def conditioning(case: Case, side: str) -> Conditioning:
    """side: positive or negative."""
    return Conditioning(case.tensors[f"{side}_cond"], case.tensors[f"{side}_pooled"])


def denoiser(case: Case, network: Network | None = None) -> Denoiser:
    """The denoiser of a case's one picture."""
    return Denoiser(
        network or UnetNetwork(tiny_unet()),
        Scheduler(case.parameters["scheduler"]),
        guidance_plan(case),
        [conditioning(case, "positive")],
        [conditioning(case, "negative")],
        *case.parameters["latent_size_hw"],
    )


def own_noise(case: Case) -> Noise:
    height, width = case.parameters["latent_size_hw"]
    return seeded_noise(sampling_plan(case), [case.parameters["seed"]], height, width, CPU)


def run(case: Case, noise: Noise) -> dict[str, Tensor]:
    """The run of a case; results in the golden set's names."""
    network, plan = WatchedNetwork(), sampling_plan(case)
    predictions: list[Tensor] = []
    latent = sample(
        denoiser(case, network),
        plan,
        noise,
        lambda step, total, denoised: predictions.append(denoised.clone()),
        case.tensors.get("input_latent"),
    )
    steps = {"sigmas": torch.tensor(plan.sigmas), "step_denoised": torch.cat(predictions)}
    sides = 1 if case.parameters["cfg"] == 1 else 2
    return {"final_latent": latent, **steps, **network.evaluations(sides)}


def recorded_results(case: Case) -> list[str]:
    """The expected tensors `run` has a result for: raw predictions have their own test, and at cfg 1 the recorded
    negative side is never looked at."""
    unlike = {"eval_x", "eval_cond_denoised", "eval_uncond_denoised"}
    if case.parameters["cfg"] == 1:
        unlike.add("eval_time_ids_negative")
    return [name for name in case.names("expected") if name not in unlike]
