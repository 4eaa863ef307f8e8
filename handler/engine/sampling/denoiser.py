"""The model call in k-diffusion's form: noisy latent and noise level in, guided clean latent out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from handler.engine.sampling.calls import BAD_SCORE, Call, DescribeSize, Side, plan_calls, sdxl_ids
from handler.engine.sampling.guidance import Guidance
from handler.engine.sampling.latents import CHANNELS
from handler.engine.sampling.network import Network, NetworkInput
from handler.engine.types import Conditioning
from handler.plan.model_sampling import LAST_TIMESTEP, model_sampling
from handler.plan.plan import GuidancePlan
from schemas.enums import Scheduler


class Denoiser:
    """Called with x: float32 [pictures, 4, h, w] and sigma; returns x0 of that shape.

    positive, negative: one per picture; the negative ones are never looked at when cfg is 1.
    height, width: of the latents. describe: what the network is told about the picture's size.
    """

    def __init__(
        self,
        network: Network,
        scheduler: Scheduler,
        guidance: GuidancePlan,
        positive: Sequence[Conditioning],
        negative: Sequence[Conditioning],
        height: int,
        width: int,
        describe: DescribeSize = sdxl_ids,
    ) -> None:
        sides = [Side(positive, guidance.adm_positive)]
        if not math.isclose(guidance.cfg, 1.0):
            sides.append(Side(negative, guidance.adm_negative, BAD_SCORE))
        device = positive[0].cond.device
        self._network = network
        self._model = model_sampling(scheduler)
        self._guidance = Guidance(guidance, device)
        self._emphasis_above = LAST_TIMESTEP * (1.0 - guidance.adm_end)
        self._calls = plan_calls(sides, height, width, network.dtype, describe)
        self._row_order = torch.cat([call.rows for call in self._calls]).argsort()
        shape = (len(sides), len(positive), CHANNELS, height, width)
        self._sample = torch.empty(shape, dtype=network.dtype, device=device)
        self._timesteps = torch.empty(len(self._row_order), dtype=torch.float32, device=device)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        predictions = self.predict(x, sigma)
        if len(predictions) == 1:
            return predictions[0]
        progress = 1.0 - self._model.timestep(sigma) / LAST_TIMESTEP
        return self._guidance(x, predictions[0], predictions[1], progress)

    def predict(self, x: Tensor, sigma: float) -> Tensor:
        """x0 before guidance: [sides, pictures, 4, h, w], positive before negative, one side only at cfg 1."""
        factors = self._model.scalings(sigma)
        torch.mul(x.expand_as(self._sample), factors.c_in, out=self._sample)
        output = self._network_output(sigma).view_as(self._sample)
        return torch.add(x * factors.c_skip, output, alpha=factors.c_out)

    def _network_output(self, sigma: float) -> Tensor:
        """[rows, 4, h, w] for what `_sample` holds."""
        timestep = self._model.timestep(sigma)
        emphasised = timestep > self._emphasis_above
        self._timesteps.fill_(timestep)
        sample = self._sample.flatten(0, 1)
        if len(self._calls) == 1:
            return self._run(self._calls[0], sample, emphasised, sigma)
        outputs = [self._run(call, sample[call.rows], emphasised, sigma) for call in self._calls]
        return torch.cat(outputs)[self._row_order]

    def _run(self, call: Call, sample: Tensor, emphasised: bool, sigma: float) -> Tensor:
        time_ids = call.emphasised_ids if emphasised else call.consistent_ids
        timesteps = self._timesteps[: len(sample)]
        return self._network(NetworkInput(sample, timesteps, call.context, call.pooled, time_ids, sigma, call.sides))
