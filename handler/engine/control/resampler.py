"""The Resampler of IP-Adapter "plus" (https://github.com/tencent-ailab/IP-Adapter, Apache-2.0).

A Perceiver (Alayrac et al. 2022, Flamingo, section 3.1.1): a few learned queries look at a picture's many features
and become the tokens that stand for the picture.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from handler.engine.blueprint import shapes_only
from handler.engine.weights import WeightsError

HEAD_WIDTH = 64
MOST_LAYERS = 64


class Resampler(nn.Module):
    """features [n, places, embedding] -> tokens [n, queries, output]. Parameters are named as in the adapters' files.

    width: of the queries inside; inner: of all attention heads together, a multiple of head_width; ff: of the
    feed-forward layers.
    """

    def __init__(
        self,
        embedding: int,
        width: int,
        output: int,
        queries: int,
        layers: int,
        inner: int,
        ff: int,
        head_width: int = HEAD_WIDTH,
    ) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.empty(1, queries, width))
        self.proj_in = nn.Linear(embedding, width)
        self.proj_out = nn.Linear(width, output)
        self.norm_out = nn.LayerNorm(output)
        self.layers = nn.ModuleList(
            nn.ModuleList([_Attention(width, inner, head_width), _feed_forward(width, ff)]) for _ in range(layers)
        )

    def forward(self, features: Tensor) -> Tensor:
        features = self.proj_in(features)
        latents = self.latents.expand(len(features), -1, -1)
        for attention, feed_forward in self.layers:
            latents = latents + attention(features, latents)
            latents = latents + feed_forward(latents)
        return self.norm_out(self.proj_out(latents))


class _Attention(nn.Module):
    """The latents look at the features and at themselves."""

    def __init__(self, width: int, inner: int, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, inner * 2, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, features: Tensor, latents: Tensor) -> Tensor:
        features, latents = self.norm1(features), self.norm2(latents)
        keys, values = self.to_kv(torch.cat([features, latents], dim=1)).chunk(2, dim=-1)
        heads = (self._heads(each) for each in (self.to_q(latents), keys, values))
        return self.to_out(scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))

    def _heads(self, state: Tensor) -> Tensor:
        """[n, length, inner] -> [n, heads, length, head_width]."""
        return state.unflatten(-1, (-1, self.head_width)).transpose(1, 2)


def _feed_forward(width: int, ff: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, ff, bias=False), nn.GELU(), nn.Linear(ff, width, bias=False)
    )


def resampler_of(shapes: Mapping[str, tuple[int, ...]], head_width: int = HEAD_WIDTH) -> Resampler:
    """The Resampler, on the meta device, whose parameters have these shapes. Raises WeightsError."""
    try:
        _, queries, width = shapes["latents"]
        output, _ = shapes["proj_out.weight"]
        _, embedding = shapes["proj_in.weight"]
        inner, _ = shapes["layers.0.0.to_q.weight"]
        ff, _ = shapes["layers.0.1.1.weight"]
        layers = sum(name.endswith(".0.to_q.weight") for name in shapes)
        if not 0 < layers <= MOST_LAYERS or inner % head_width:
            raise ValueError("not the layout of a Resampler")
        with shapes_only():
            network = Resampler(embedding, width, output, queries, layers, inner, ff, head_width)
    except (KeyError, ValueError, RuntimeError) as error:
        raise WeightsError("this adapter has no Resampler: only IP-Adapter plus is supported") from error
    if {name: tuple(value.shape) for name, value in network.state_dict().items()} != dict(shapes):
        raise WeightsError("the adapter's Resampler is damaged")
    return network.eval().requires_grad_(False)
