"""One sampler run: start noise, latent, sampler and reports put together."""

from __future__ import annotations

import torch
from torch import Tensor

from handler.engine.sampling.latents import from_sampler, start_scale, to_sampler
from handler.engine.sampling.noise import Noise
from handler.engine.sampling.samplers import SAMPLERS
from handler.engine.sampling.samplers.run import Denoise, OnStep, Run
from handler.plan.model_sampling import model_sampling
from handler.plan.plan import SamplingPlan


@torch.inference_mode()
def sample(
    denoise: Denoise, plan: SamplingPlan, noise: Noise, on_step: OnStep, latent: Tensor | None = None
) -> Tensor:
    """The latent of one batch of pictures: float32 [pictures, 4, h, w] in VAE units.

    denoise: called with x (float32, sampler units) and sigma, returns x0: a `Denoiser`, or anything around one or
    between two (mixing of a kept part, another network from some step on). Called once or more per step.
    latent: what to start from, in VAE units; None is one of zeros.
    on_step: see `Run`; its prediction is in sampler units. What it raises ends the run and passes through.
    """
    run = Run(denoise, noise.draw, on_step, plan.sigmas, model_sampling(plan.scheduler))
    return from_sampler(SAMPLERS[plan.sampler](start(plan, noise, latent), run), plan.scheduler)


def start(plan: SamplingPlan, noise: Noise, latent: Tensor | None = None) -> Tensor:
    """Scaled noise on the latent, in sampler units; no latent means one of zeros, not 0 in every scheduler's units."""
    unit = noise.start()
    sigma_max = float(model_sampling(plan.scheduler).table[-1])
    below = torch.zeros_like(unit) if latent is None else latent.float()
    return to_sampler(below, plan.scheduler).add(unit, alpha=start_scale(plan.sigmas[0], sigma_max))
