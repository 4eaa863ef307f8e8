"""FreeU, version 2 (Si et al. 2023, https://arxiv.org/abs/2309.11497), with Fooocus's grouping of decoder blocks.

Before a decoder block joins its hidden features with the skipped ones, half of the hidden channels are amplified
where the features are strong, and the skip loses some of its lowest frequencies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from handler.plan.plan import FreeUPlan

LOW_BINS = 1
"""Half the side, in bins, of the square of low frequencies around the centre of the spectrum."""


def amplified(hidden: Tensor, b: float) -> Tensor:
    """hidden [n, c, h, w]: the first c/2 channels times 1 .. b, by the features' mean strength at each place."""
    mean = hidden.mean(dim=1, keepdim=True)
    low = mean.amin(dim=(2, 3), keepdim=True)
    high = mean.amax(dim=(2, 3), keepdim=True)
    spread = (high - low).clamp(min=torch.finfo(mean.dtype).tiny)
    factor = (b - 1.0) * (mean - low) / spread + 1.0
    first, second = hidden.tensor_split(2, dim=1)
    return torch.cat([first * factor, second], dim=1)


def damped(skip: Tensor, s: float) -> Tensor:
    """skip [n, c, h, w] with the frequencies nearest to zero times s."""
    height, width = skip.shape[-2:]
    spectrum = torch.fft.fftshift(torch.fft.fftn(skip.float(), dim=(-2, -1)), dim=(-2, -1))
    row, column = height // 2, width // 2
    spectrum[..., row - LOW_BINS : row + LOW_BINS, column - LOW_BINS : column + LOW_BINS] *= s
    return torch.fft.ifftn(torch.fft.ifftshift(spectrum, dim=(-2, -1)), dim=(-2, -1)).real.to(skip.dtype)


def factors_for(channels: int, base_channels: int, settings: FreeUPlan) -> tuple[float, float] | None:
    """(b, s) for a block whose hidden features have this many channels; None leaves it alone."""
    return {4: (settings.b1, settings.s1), 2: (settings.b2, settings.s2)}.get(channels // base_channels)


@contextmanager
def freeu(unet: UNet2DConditionModel, settings: FreeUPlan) -> Iterator[None]:
    """Inside, the UNet runs with FreeU; afterwards as before."""
    with ExitStack() as hooks:
        for resnet, hidden_channels in _decoder_resnets(unet):
            factors = factors_for(hidden_channels, unet.config.block_out_channels[0], settings)
            if factors is not None:
                handle: RemovableHandle = resnet.register_forward_pre_hook(partial(_join, hidden_channels, *factors))
                hooks.callback(handle.remove)
        yield


def _decoder_resnets(unet: UNet2DConditionModel) -> Iterator[tuple[nn.Module, int]]:
    """Each decoder resnet with the number of its input's channels that are hidden features; skips follow them."""
    resnets = list(chain.from_iterable(block.resnets for block in unet.up_blocks))
    hidden = unet.mid_block.resnets[-1].out_channels
    for resnet in resnets:
        yield resnet, hidden
        hidden = resnet.out_channels


def _join(hidden_channels: int, b: float, s: float, _module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    joined, *others = args
    hidden, skip = joined[:, :hidden_channels], joined[:, hidden_channels:]
    return (torch.cat([amplified(hidden, b), damped(skip, s)], dim=1), *others)
