"""Sketches of the picture from inside the UNet, which teach its blocks what is where.

What a block passes on is read by one linear layer as a small picture: where a shape is, the colours, and the place in
the picture. Their error is added to the training's; without it a shape's form reaches the inner blocks only through
all the outer ones, and is learned several times later (deep supervision; Lee et al. 2015, "Deeply-Supervised Nets").
The layers are needed for training only.
"""

from __future__ import annotations

from functools import partial

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from torch.nn import functional as F

PARTS = 6  # silhouette, red, green, blue, across, down


class Sketches(nn.Module):
    """One reader for each of `unet`'s upward blocks but the outermost."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.readers = nn.ModuleList()
        self._seen: list[torch.Tensor | None] = []
        for number, block in enumerate(unet.up_blocks[:-1]):
            attentions = getattr(block, "attentions", None)
            last = attentions[-1] if attentions else block.resnets[-1]
            width = block.resnets[-1].out_channels
            self.readers.append(nn.Sequential(nn.GroupNorm(1, width), nn.Conv2d(width, PARTS, 1)))
            self._seen.append(None)
            last.register_forward_hook(self._watch(number))

    def _watch(self, number: int):
        def keep(module: nn.Module, inputs: object, output: object) -> None:
            self._seen[number] = output[0] if isinstance(output, tuple) else output

        return keep

    def loss(self, latents: torch.Tensor, silhouettes: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Mean error of all sketches of the UNet's last forward pass.

        `latents` are (n, 4, h, w), `silhouettes` (n, 1, h, w) in 0..1, `weights` those of the places (n, 1, h, w).
        """
        wanted = torch.cat([latents[:, :3], _places(latents)], dim=1)
        errors = []
        for reader, seen in zip(self.readers, self._seen, strict=True):
            size = seen.shape[2:]
            weight = F.adaptive_avg_pool2d(weights, size)
            silhouette = F.adaptive_avg_pool2d(silhouettes * weights, size) / weight
            drawn = reader(seen)
            inside = F.binary_cross_entropy_with_logits(drawn[:, :1], silhouette, reduction="none")
            rest = (drawn[:, 1:] - F.adaptive_avg_pool2d(wanted, size)).square()
            errors.append((inside * weight).mean() + rest.mean())
        return torch.stack(errors).mean()


def _places(latents: torch.Tensor) -> torch.Tensor:
    """Across and down, each -1..1, (n, 2, h, w)."""
    count, _, height, width = latents.shape
    line = partial(torch.linspace, -1, 1, device=latents.device)
    down = line(2 * height + 1)[1::2].view(1, 1, height, 1).expand(count, 1, height, width)
    across = line(2 * width + 1)[1::2].view(1, 1, 1, width).expand(count, 1, height, width)
    return torch.cat([across, down], dim=1)
