"""The base network under ControlNets: what they say about a call is added to the UNet's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from handler.engine.control.controlnet import ControlNet
from handler.engine.sampling.network import NetworkInput, Residuals, Steerable
from handler.pixels.hints import nearest_cover

LATENT_PIXELS = 8


class Steering(NamedTuple):
    """A ControlNet at work.

    hint: its embedded picture, [1, channels, h, w] of the latents. strengths: of each residual, the middle one last.
    until: it is heeded down to this noise level.
    """

    control: ControlNet
    hint: Tensor
    strengths: tuple[float, ...]
    until: float


def strengths(weight: float, softness: float, residuals: int) -> tuple[float, ...]:
    """What each residual is multiplied with: the nearer to the input, the softer; the middle has the full weight.

    weight: 0..2; softness: 0..1; residuals: how many there are, 10 for SDXL.
    """
    last = residuals - 1
    return tuple(weight * (1.0 - softness * (1.0 - index / last)) for index in range(residuals))


def embedded_hint(control: ControlNet, picture: np.ndarray, height: int, width: int) -> Tensor:
    """picture: uint8 [h, w, 3], cut to the proportions of the latents (height, width) where it has others."""
    size = height * LATENT_PIXELS, width * LATENT_PIXELS
    fitted = picture if picture.shape[:2] == size else nearest_cover(picture, size[1], size[0])
    network = control.network
    pixels = torch.from_numpy(np.array(fitted)).to(network.device).permute(2, 0, 1)[None]
    return control.embed((pixels / 255.0).to(network.dtype))


@dataclass(frozen=True)
class SteeredNetwork:
    """A `Network`: the UNet, helped by ControlNets for as long as each is heeded. They are told what the UNet is."""

    network: Steerable
    steerings: Sequence[Steering]

    @property
    def dtype(self) -> torch.dtype:
        return self.network.dtype

    def __call__(self, inputs: NetworkInput) -> Tensor:
        active = [steering for steering in self.steerings if inputs.sigma >= steering.until]
        return self.network(inputs, summed_residuals(active, inputs)) if active else self.network(inputs)


def summed_residuals(steerings: Sequence[Steering], inputs: NetworkInput) -> Residuals:
    """What all of them say about this call. At least one."""
    sums = _residuals(steerings[0], inputs)
    for steering in steerings[1:]:
        for total, residual in zip(sums, _residuals(steering, inputs), strict=True):
            total += residual
    return Residuals(tuple(sums[:-1]), sums[-1])


def _residuals(steering: Steering, inputs: NetworkInput) -> list[Tensor]:
    down, middle = steering.control.network(
        inputs.sample,
        inputs.timesteps,
        inputs.context,
        steering.hint,
        added_cond_kwargs={"text_embeds": inputs.pooled, "time_ids": inputs.time_ids},
        return_dict=False,
    )
    return [residual * strength for residual, strength in zip([*down, middle], steering.strengths, strict=True)]
