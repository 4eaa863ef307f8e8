"""Decoupled cross-attention (IP-Adapter, Ye et al. 2023, https://arxiv.org/abs/2308.06721, section 3.2.2).

Beside the text, the UNet looks at the tokens of each picture, in an attention of its own, and adds what it sees
times a strength: the same as in diffusers. Fooocus has another formula, which its author asks not to be used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from handler.engine.sampling.network import NetworkInput, Residuals, Steerable

CROSS = ".attn2.processor"
PROCESSOR = ".processor"


class CrossAttention(NamedTuple):
    """A place where the UNet looks at the text. number: its place among all attentions, as adapters' files count."""

    number: int
    module: Attention


def cross_attentions(unet: UNet2DConditionModel) -> list[CrossAttention]:
    """All of them, in diffusers' order: encoder, decoder, middle."""
    return [
        CrossAttention(number, unet.get_submodule(name.removesuffix(PROCESSOR)))
        for number, name in enumerate(unet.attn_processors)
        if name.endswith(CROSS)
    ]


class View(NamedTuple):
    """What one cross-attention is shown of one picture: [2, heads, tokens, head width], for positive and negative."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class ShownPicture:
    """A picture for all cross-attentions.

    views: one per cross-attention, in order. strengths: what each adds of it. until: shown above this noise level.
    """

    views: Sequence[View]
    strengths: Sequence[float]
    until: float


class PromptedNetwork:
    """A `Network` whose UNet is shown pictures, each for as long as its noise level lasts.

    network: calls the UNet that `shown_to` was entered with for the same pictures and this object's `rows`.
    """

    def __init__(self, network: Steerable, pictures: Sequence[ShownPicture], rows: Rows) -> None:
        self.dtype = network.dtype
        self._network = network
        self._pictures = pictures
        self._rows = rows

    def __call__(self, inputs: NetworkInput, residuals: Residuals | None = None) -> Tensor:
        active = tuple(index for index, picture in enumerate(self._pictures) if inputs.sigma > picture.until)
        self._rows.tell(inputs.sides, active)
        return self._network(inputs, residuals)


class Rows:
    """What the attentions must know of the present call. active: which pictures are shown; picked: rows of views."""

    def __init__(self, device: torch.device) -> None:
        self.active: tuple[int, ...] = ()
        self.picked: slice | Tensor = slice(None)
        self._device = device
        self._known: dict[tuple[int, ...], slice | Tensor] = {(0, 1): slice(None), (0,): slice(0, 1), (1,): slice(1, 2)}

    def tell(self, sides: tuple[int, ...], active: tuple[int, ...]) -> None:
        """sides: of the call's rows, 0 for positive."""
        if sides not in self._known:
            self._known[sides] = torch.tensor(sides, device=self._device)
        self.picked, self.active = self._known[sides], active


@contextmanager
def shown_to(unet: UNet2DConditionModel, pictures: Sequence[ShownPicture], rows: Rows) -> Iterator[None]:
    """Inside, every cross-attention of the UNet looks at the pictures too; afterwards as before."""
    modules = [place.module for place in cross_attentions(unet)]
    originals = [module.processor for module in modules]
    try:
        for index, module in enumerate(modules):
            shown = [(picture.views[index], picture.strengths[index]) for picture in pictures]
            module.processor = _Decoupled(originals[index], shown, rows)
        yield
    finally:
        for module, original in zip(modules, originals, strict=True):
            module.processor = original


class _Decoupled:
    """An attention processor. original: does all of it while no picture is shown."""

    def __init__(self, original: Any, shown: Sequence[tuple[View, float]], rows: Rows) -> None:
        self._original = original
        self._shown = shown
        self._rows = rows

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        rows = self._rows
        if not rows.active or encoder_hidden_states is None:
            return self._original(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        query, keys, values = (
            heads(project(state), attn.heads)
            for project, state in (
                (attn.to_q, hidden_states),
                (attn.to_k, encoder_hidden_states),
                (attn.to_v, encoder_hidden_states),
            )
        )
        seen = scaled_dot_product_attention(query, keys, values)
        for index in rows.active:
            view, strength = self._shown[index]
            seen_here = scaled_dot_product_attention(query, view.keys[rows.picked], view.values[rows.picked])
            seen = torch.add(seen, seen_here, alpha=strength)
        return attn.to_out[0](seen.transpose(1, 2).flatten(2))


def heads(state: Tensor, count: int) -> Tensor:
    """[n, length, channels] -> [n, heads, length, channels / heads]."""
    return state.unflatten(-1, (count, -1)).transpose(1, 2)
