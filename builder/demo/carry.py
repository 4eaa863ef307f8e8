"""Starts the UNet as "the noise is the input, plus a correction" and keeps that part of it fixed.

At high noise the predicted noise must equal the input to a fraction of a percent, or the clean picture computed from
it drowns. A small network learns that slowly, so it is set by hand, in the real class's own weights:

    noise = x + sqrt(alpha) * correction

where x is the noisy input, alpha the timestep's cumulative alpha and the correction what the rest of the network
says: everything of size one at every noise level, as with v-prediction. x travels through four channels of `conv_in`,
the outermost skip connection and the last block's shortcut. The factor sqrt(alpha) is the time's scale of the last
block's second normalisation. `conv_norm_out` is made harmless by constant channels (+K, -K) beside (+e, -e) in each of
its groups, and silu(e) - silu(-e) = e undoes the activation.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torch.nn import functional as F

LATENT_CHANNELS = 4
CONSTANT = 32.0  # beside the noise, in the last normalisation
INNER_CONSTANT = 8.0  # beside the correction, in the last block's second normalisation
TIME_ONLY = 64  # leading numbers of the time embedding that texts and sizes do not reach


def carry_input(unet: UNet2DConditionModel, alphas: torch.Tensor) -> None:
    """Set the fixed weights; `alphas` are the cumulative ones of all timesteps, (1000,).

    The first level must have 16 channels in 4 normalisation groups, the UNet `resnet_time_scale_shift="scale_shift"`.
    """
    with torch.no_grad():
        _widen_time(unet.time_embedding)
        _carry(unet)
        _correct(unet.up_blocks[-1].resnets[-1])
        _scale_correction(unet, alphas)


def protect(unet: UNet2DConditionModel) -> None:
    """Keep training from changing what `carry_input` set."""
    last = unet.up_blocks[-1].resnets[-1]
    inner, plain = last.norm2, (last.conv_shortcut, last.conv2, last.time_emb_proj, unet.conv_norm_out, unet.conv_out)
    for module in (*plain, inner, unet.time_embedding):
        module.requires_grad_(False)
    _keep_rows(unet.conv_in, torch.arange(LATENT_CHANNELS))
    _keep_rows(last.conv1, _rows(2, 3))
    _keep_rows(unet.add_embedding.linear_2, torch.arange(TIME_ONLY))


def _rows(*places: int) -> torch.Tensor:
    """Channels at these places of the four in each group."""
    return torch.tensor([4 * group + place for group in range(LATENT_CHANNELS) for place in places])


def _keep_rows(module: nn.Conv2d | nn.Linear, rows: torch.Tensor) -> None:
    for parameter in (module.weight, module.bias):
        allowed = torch.ones(len(parameter)).index_fill_(0, rows, 0).view(-1, *([1] * (parameter.dim() - 1)))
        parameter.register_hook(lambda gradient, allowed=allowed: gradient * allowed.to(gradient.device))


def _widen_time(embedding: TimestepEmbedding) -> None:
    """Numbers of size one that vary slowly with time, as the time's part is not trained."""
    frequencies = embedding.linear_1.in_features // 2
    embedding.linear_1.weight.mul_(2).view(-1, 2, frequencies)[:, :, : frequencies * 3 // 8].mul_(0.05)
    embedding.linear_2.weight.mul_(4)


def _carry(unet: UNet2DConditionModel) -> None:
    """The input, unchanged, to the output."""
    shortcut = unet.up_blocks[-1].resnets[-1].conv_shortcut
    width = shortcut.out_channels
    _zero(shortcut, unet.conv_out)
    unet.conv_in.weight[:LATENT_CHANNELS].zero_()
    unet.conv_in.bias[:LATENT_CHANNELS].zero_()
    for channel in range(LATENT_CHANNELS):
        unet.conv_in.weight[channel, channel, 1, 1] = 1
        for place, sign in ((0, 1.0), (1, -1.0)):
            shortcut.weight[4 * channel + place, width + channel] = sign
            shortcut.bias[4 * channel + 2 + place] = sign * CONSTANT
            unet.conv_out.weight[channel, 4 * channel + place, 1, 1] = sign
    unet.conv_norm_out.weight.fill_(CONSTANT / 2**0.5)


def _correct(last: ResnetBlock2D) -> None:
    """The correction, from `conv1` through the second normalisation to the channels that hold the noise."""
    last.norm2.weight.fill_(INNER_CONSTANT / 2**0.5)
    last.conv1.weight.mul_(0.1)
    last.conv1.weight[_rows(2, 3)] = 0
    last.conv1.bias[_rows(2)] = INNER_CONSTANT
    last.conv1.bias[_rows(3)] = -INNER_CONSTANT
    _zero(last.conv2)
    for first in _rows(0).tolist():
        for to, sign in ((first, 1.0), (first + 1, -1.0)):
            last.conv2.weight[to, first, 1, 1] = sign
            last.conv2.weight[to, first + 1, 1, 1] = -sign


def _scale_correction(unet: UNet2DConditionModel, alphas: torch.Tensor) -> None:
    """Fit the last block's time scale to sqrt(alpha) - 1, from the part of the embedding that only time reaches."""
    unet.add_embedding.linear_2.weight[:TIME_ONLY] = 0
    unet.add_embedding.linear_2.bias[:TIME_ONLY] = 0
    embedded = unet.time_embedding(unet.time_proj(torch.arange(len(alphas))))
    features = F.silu(embedded)[:, :TIME_ONLY].double()
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    wanted = alphas.double().sqrt()
    weight = 1 / wanted[:, None]  # equal relative errors
    ridge = 1e-10 * torch.eye(TIME_ONLY + 1, dtype=torch.float64)
    left = (features * weight).T @ (features * weight) / len(alphas) + ridge
    solution = torch.linalg.solve(left, (features * weight**2).T @ wanted / len(alphas)).float()
    projection = unet.up_blocks[-1].resnets[-1].time_emb_proj
    _zero(projection)
    scales = projection.out_features // 2
    projection.weight[:scales, :TIME_ONLY] = solution[:-1]
    projection.bias[:scales] = solution[-1] - 1


def _zero(*modules: nn.Module) -> None:
    for module in modules:
        for parameter in module.parameters():
            parameter.zero_()
