"""One picture by two networks: Fooocus's three ways for a refiner to take over from the base network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import torch
from torch import Tensor

from handler.engine.sampling.latents import from_sampler, start_scale, to_sampler
from handler.engine.sampling.loop import sample, start
from handler.engine.sampling.noise import GaussianNoise, Noise
from handler.engine.sampling.samplers import BROWNIAN, SAMPLERS
from handler.engine.sampling.samplers.run import Denoise, OnStep, Run
from handler.plan.model_sampling import model_sampling
from handler.plan.plan import SamplingPlan
from schemas.enums import RefinerSwapMethod
from schemas.fields import MAX_SEED

SECOND_RUN_SIGMAS = 1.4
"""The second run of `through_vae` starts with more noise than was left: it also mends what the conversion broke."""

Around = Callable[[Denoise], Denoise]
"""Puts something around the prediction of one run."""


def nothing_around(denoise: Denoise) -> Denoise:
    """The prediction as it is."""
    return denoise


BOTH_ABOVE = 0.9
REFINER_SHARE_POWER = 0.834


@dataclass(frozen=True)
class Handover:
    """A run of two networks.

    base, refiner: predictions of x0, see `sample`. switch: the index of the step at which the refiner takes over;
    it may never be reached. on_step: see `Run`; counts the steps of both networks.
    latent: what to start from, in VAE units; None is one of zeros. denoise: how much of it is to be made anew.
    around: put around the predictions of each run; around_second: of the run that starts from a clean latent.
    """

    base: Denoise
    refiner: Denoise
    switch: int
    plan: SamplingPlan
    noise: Noise
    on_step: OnStep
    latent: Tensor | None = None
    denoise: float = 1.0
    around: Around = nothing_around
    around_second: Around = nothing_around


@torch.inference_mode()
def joint(run: Handover) -> Tensor:
    """One run, in which the networks are exchanged; what the sampler remembers of former steps is kept.

    Samplers report a step after its first call: the base network makes that of step `switch`, the refiner all
    later ones. Returns float32 [pictures, 4, h, w] in VAE units, as the other two do.
    """
    networks = _InTurn(run.base)

    def report(step: int, steps: int, denoised: Tensor) -> None:
        if step == run.switch:
            networks.current = run.refiner
        run.on_step(step, steps, denoised)

    return sample(run.around(networks), run.plan, run.noise, report, run.latent)


@torch.inference_mode()
def separate(run: Handover) -> Tensor:
    """Two runs: the first leaves its noise, the second goes on from there and remembers nothing of the first."""
    x = start(run.plan, run.noise, run.latent)
    x = _walk(run, run.around(run.base), x, run.plan.sigmas[: run.switch + 1], first=0)
    x = _walk(run, run.around(run.refiner), x, run.plan.sigmas[run.switch :], first=run.switch)
    return from_sampler(x, run.plan.scheduler)


@torch.inference_mode()
def through_vae(run: Handover, second: Noise, enter: Callable[[Tensor], Tensor]) -> Tensor:
    """Two runs: the first ends clean, the second noises its result anew. In the refiner's sampler units.

    second: the noise of the second run. enter: from the base's VAE units to the refiner's sampler units.
    The start noise of the second run has, at each place, the mean over channels that the first run ended with.
    """
    watched = _Watched(run.base)
    noise = second.start()
    clean = torch.zeros_like(noise) if run.latent is None else run.latent
    if run.switch > 0:
        x = start(run.plan, run.noise, run.latent)
        x = _walk(run, run.around(watched), x, (*run.plan.sigmas[: run.switch], 0.0), first=0)
        clean = from_sampler(x, run.plan.scheduler)
        noise = noise + (watched.noise - noise).mean(dim=1, keepdim=True)
    sigmas = tuple(sigma * SECOND_RUN_SIGMAS for sigma in run.plan.sigmas[run.switch :])
    sigma_max = float(model_sampling(run.plan.scheduler).table[-1])
    x = enter(clean).add(noise, alpha=start_scale(sigmas[0], sigma_max))
    return _walk(replace(run, noise=second), run.around_second(run.refiner), x, sigmas, first=run.switch)


@torch.inference_mode()
def refine_only(run: Handover, scale: float) -> Tensor:
    """The refiner all the way, from a latent of its own VAE; in its sampler units. scale: of its VAE units in those."""
    unit = run.noise.start()
    sigma_max = float(model_sampling(run.plan.scheduler).table[-1])
    below = torch.zeros_like(unit) if run.latent is None else run.latent * scale
    x = below.add(unit, alpha=start_scale(run.plan.sigmas[0], sigma_max))
    return _walk(run, run.around(run.refiner), x, run.plan.sigmas, first=0)


def hand_over(run: Handover, method: RefinerSwapMethod, second: Noise) -> Tensor:
    """Two networks with one VAE, in one of the three ways: float32 [pictures, 4, h, w] in VAE units.

    second: see `through_vae`.
    """
    if method is RefinerSwapMethod.JOINT:
        return joint(run)
    if method is RefinerSwapMethod.SEPARATE:
        return separate(run)
    scheduler = run.plan.scheduler
    return from_sampler(through_vae(run, second, lambda clean: to_sampler(clean, scheduler)), scheduler)


class Course(Enum):
    """Which networks make a picture when the refiner has a VAE of its own."""

    BOTH = auto()
    BASE_ONLY = auto()
    REFINER_ONLY = auto()


def own_vae_course(steps: int, switch: int, denoise: float) -> Course:
    """Fooocus's choice: both where nearly all is made anew, else the one that would have had the more to do.

    denoise: 0..1. The network that runs alone starts from a latent of its own VAE.
    """
    if denoise > BOTH_ABOVE:
        return Course.BOTH
    left_to_refiner = ((steps - switch) / steps) ** REFINER_SHARE_POWER
    return Course.BASE_ONLY if denoise > left_to_refiner else Course.REFINER_ONLY


def second_noise(
    plan: SamplingPlan, seeds: Sequence[int], height: int, width: int, device: torch.device, first: Noise
) -> Noise:
    """The noise of `through_vae`'s second run, from the seeds' successors; Brownian motion goes on where it was.

    first: the noise of the first run. The rest as for `seeded_noise`.
    """
    own = GaussianNoise([(seed + 1) % (MAX_SEED + 1) for seed in seeds], height, width, device)
    return _Borrowing(own, first) if plan.sampler in BROWNIAN else own


class _InTurn:
    """A prediction that can be exchanged in the middle of a run."""

    def __init__(self, first: Denoise) -> None:
        self.current = first

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        return self.current(x, sigma)


class _Watched:
    """Remembers what the last prediction took for unit noise."""

    def __init__(self, denoise: Denoise) -> None:
        self._denoise = denoise

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        denoised = self._denoise(x, sigma)
        self.noise = (x - denoised) / sigma
        return denoised


class _Borrowing:
    """Start noise of one source, further draws of another."""

    def __init__(self, first: Noise, later: Noise) -> None:
        self.start = first.start
        self.draw = later.draw


def _walk(run: Handover, denoise: Denoise, x: Tensor, sigmas: tuple[float, ...], first: int) -> Tensor:
    """A part of the run, in sampler units; its steps are reported as those from `first` on."""
    if len(sigmas) < 2:
        return x

    def report(step: int, _steps: int, denoised: Tensor) -> None:
        run.on_step(first + step, max(run.plan.steps, first + step + 1), denoised)

    part = Run(denoise, run.noise.draw, report, sigmas, model_sampling(run.plan.scheduler))
    return SAMPLERS[run.plan.sampler](x, part)
