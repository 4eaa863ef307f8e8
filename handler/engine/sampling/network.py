"""The one call into the network. Whoever adds to it (control residuals, another network) wraps a `Network`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor


@dataclass(frozen=True)
class NetworkInput:
    """Independent rows, each one picture's positive or negative side.

    sample: [rows, 4, h, w], scaled, in the network's dtype. timesteps: float32 [rows], all alike.
    context: [rows, tokens, dim]; pooled: [rows, pooled_dim]; time_ids: float32 [rows, ids], six ids for SDXL.
    sigma: the noise level `timesteps` stands for. sides: of each row, 0 for positive, 1 for negative.
    `sample` and `timesteps` are reused by the next call.
    """

    sample: Tensor
    timesteps: Tensor
    context: Tensor
    pooled: Tensor
    time_ids: Tensor
    sigma: float
    sides: tuple[int, ...]


class Residuals(NamedTuple):
    """What is added to a UNet's features: to each that its encoder hands on, and to those of its middle."""

    down: tuple[Tensor, ...]
    middle: Tensor


class Network(Protocol):
    """Predicts what its parametrisation predicts: [rows, 4, h, w]."""

    dtype: torch.dtype

    def __call__(self, inputs: NetworkInput) -> Tensor: ...


class Steerable(Protocol):
    """A `Network` that can be told residuals."""

    dtype: torch.dtype

    def __call__(self, inputs: NetworkInput, residuals: Residuals | None = None) -> Tensor: ...


class UnetNetwork:
    """diffusers' UNet of SDXL or its refiner, as it is; one of SD 1.5 heeds neither pooled text nor size ids."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self.unet = unet
        self.dtype = unet.dtype

    def __call__(self, inputs: NetworkInput, residuals: Residuals | None = None) -> Tensor:
        return self.unet(
            inputs.sample,
            inputs.timesteps,
            inputs.context,
            added_cond_kwargs={"text_embeds": inputs.pooled, "time_ids": inputs.time_ids},
            down_block_additional_residuals=residuals and residuals.down,
            mid_block_additional_residual=residuals and residuals.middle,
            return_dict=False,
        )[0]
