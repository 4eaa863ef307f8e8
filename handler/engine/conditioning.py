"""From prompts to what the UNet is told: token weights, several texts, both encoders, pooled vectors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from handler.engine.checkpoint import SdxlModel
from handler.engine.embeddings import Embeddings
from handler.engine.text_encoder import Encoder, Row, encode, encode_pooled
from handler.engine.tokens import Chunk, Vector, chunks, empty_chunk
from handler.engine.types import Conditioning

REMEMBERED = 64
"""Encoded texts kept; one of SDXL's, of one chunk, is 0.6 MB."""

FindVector = Callable[[str, Vector], Tensor]
"""(`clip_l` or `clip_g`, a token of a textual inversion) -> its vector [dim]."""


@dataclass(frozen=True)
class Side:
    """The texts of one side of one picture, and of how many leading ones the pooled vectors are summed."""

    texts: tuple[str, ...]
    pooled: int


class TextChunks(NamedTuple):
    """One text, once per encoder; equally many chunks."""

    clip_l: Sequence[Chunk]
    clip_g: Sequence[Chunk]


class TextEncoding(NamedTuple):
    """cond: [1, 77 * chunks, dim of L + dim of G]; pooled: [1, pooled_dim], of the first chunk. float32."""

    cond: Tensor
    pooled: Tensor


class TextEncoder:
    """Encodes prompts with a model's two encoders and remembers the results.

    embeddings: the folder of the textual inversion files that `embedding:NAME` in a prompt names.
    """

    def __init__(self, model: SdxlModel, embeddings: Path | None = None) -> None:
        self._model = model
        self._embeddings = Embeddings(embeddings)
        self._known: OrderedDict[Hashable, TextEncoding] = OrderedDict()

    @torch.no_grad()
    def encode(self, sides: Sequence[Side], clip_skip: int) -> list[Conditioning]:
        """One conditioning per side, on the model's device in its UNet's type.

        clip_skip: 1..12, 2 is SDXL's own. Texts not known yet go through each encoder together.
        """
        texts = list(dict.fromkeys(chain.from_iterable(side.texts for side in sides)))
        keys = {text: (text, clip_skip, self._model.variant) for text in texts}
        known = {text: self._known[key] for text, key in keys.items() if key in self._known}
        known |= self._encoded([text for text in texts if text not in known], clip_skip)
        self._remember({keys[text]: known[text] for text in texts})
        return [self._joined([known[text] for text in side.texts], side.pooled) for side in sides]

    def forget(self) -> None:
        """Drop what is remembered, to free memory."""
        self._known.clear()

    def _joined(self, texts: Sequence[TextEncoding], pooled: int) -> Conditioning:
        cond = torch.cat([text.cond for text in texts], dim=1)
        total = torch.stack([text.pooled for text in texts[:pooled]]).sum(dim=0)
        dtype = self._model.unet.dtype
        return Conditioning(cond=cond.to(dtype), pooled=total.to(dtype))

    def _remember(self, encoded: dict[Hashable, TextEncoding]) -> None:
        for key, value in encoded.items():
            self._known[key] = value
            self._known.move_to_end(key)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _encoded(self, texts: Sequence[str], clip_skip: int) -> dict[str, TextEncoding]:
        if not texts:
            return {}
        both = encode_chunks(self._model, [self._chunks(text) for text in texts], clip_skip, self._embeddings.vector)
        return dict(zip(texts, both, strict=True))

    def _chunks(self, text: str) -> TextChunks:
        model = self._model
        return _of_one_length(
            chunks(text, model.tokenizer, self._counter("clip_l", model.text_encoder)),
            chunks(text, model.tokenizer_2, self._counter("clip_g", model.text_encoder_2)),
            model,
        )

    def _counter(self, key: str, encoder: Encoder) -> Callable[[str], int]:
        return lambda name: self._embeddings.count(key, name, encoder.config.hidden_size)


def _of_one_length(clip_l: list[Chunk], clip_g: list[Chunk], model: SdxlModel) -> TextChunks:
    """Two vocabularies may need different numbers of chunks; the shorter side says nothing at the end."""
    most = max(len(clip_l), len(clip_g))
    return TextChunks(
        clip_l + [empty_chunk(model.tokenizer)] * (most - len(clip_l)),
        clip_g + [empty_chunk(model.tokenizer_2)] * (most - len(clip_g)),
    )


def encode_chunks(
    model: SdxlModel, texts: Sequence[TextChunks], clip_skip: int, vector: FindVector
) -> list[TextEncoding]:
    """Encode texts given as chunks, all in as few forwards of each encoder as its batch allows."""
    rows_l = _rows((text.clip_l for text in texts), model.tokenizer)
    rows_g = _rows((text.clip_g for text in texts), model.tokenizer_2)
    encoder_l, encoder_g, end = model.text_encoder, model.text_encoder_2, model.tokenizer_2.eos_token_id
    states_l = encode(encoder_l, rows_l, clip_skip, lambda token: vector("clip_l", token))
    states_g, pooled = encode_pooled(encoder_g, rows_g, clip_skip, lambda token: vector("clip_g", token), end)
    by_l, by_g = dict(zip(rows_l, states_l, strict=True)), dict(zip(rows_g, states_g, strict=True))
    first = dict(zip(rows_g, pooled, strict=True))
    return [
        TextEncoding(
            cond=torch.cat([_states(text.clip_l, by_l, rows_l[0]), _states(text.clip_g, by_g, rows_g[0])], dim=-1),
            pooled=first[text.clip_g[0].tokens][None],
        )
        for text in texts
    ]


def _rows(texts: Iterable[Sequence[Chunk]], tokenizer: CLIPTokenizer) -> list[Row]:
    """The different rows of tokens, the empty prompt's first: weights are measured from it."""
    rows = (chunk.tokens for text in texts for chunk in text)
    return list(dict.fromkeys([empty_chunk(tokenizer).tokens, *rows]))


def _states(text: Sequence[Chunk], states: dict[Row, Tensor], empty: Row) -> Tensor:
    """[1, 77 * chunks, dim] of one encoder."""
    return torch.cat([_emphasised(states[chunk.tokens], chunk, states[empty]) for chunk in text])[None]


def _emphasised(state: Tensor, chunk: Chunk, empty: Tensor) -> Tensor:
    """Scale each token's distance from the empty prompt by its weight, then restore the chunk's mean. [77, dim]"""
    if not chunk.weighted:
        return state
    weights = torch.tensor(chunk.weights, device=state.device)[:, None]
    moved = empty + (state - empty) * weights
    mean = moved.mean()
    return moved * torch.where(mean == 0, 1.0, state.mean() / mean)
