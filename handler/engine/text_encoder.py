"""CLIP's two text encoders as SDXL uses them: hidden states counted from the end, and one pooled vector.

transformers' modules are run layer by layer: layers nobody asked for are not computed, and a token may be a
vector of a textual inversion file instead of an id.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers.models.clip.modeling_clip import CLIPTextModel, CLIPTextModelWithProjection

from handler.engine.tokens import Token, Vector

Encoder = CLIPTextModel | CLIPTextModelWithProjection
Row = tuple[Token, ...]
Lookup = Callable[[Vector], Tensor]
"""The vector [dim] of a textual inversion token."""

BATCH = 32
"""Most chunks in one forward: at SDXL's size about 0.3 GB of activations in float32."""


def text_model(encoder: Encoder) -> CLIPTextModel:
    """The encoder without its projection."""
    return encoder.text_model if isinstance(encoder, CLIPTextModelWithProjection) else encoder


def encode(encoder: Encoder, rows: Sequence[Row], clip_skip: int, lookup: Lookup) -> Tensor:
    """Hidden states [rows, tokens, dim] of equally long rows of tokens.

    clip_skip k: the output of the k-th last layer without the final layer norm; where the encoder has fewer than
    k layers, that of its last layer with it.
    """
    return torch.cat([_hidden(encoder, batch, clip_skip, lookup)[0] for batch in _batches(rows)])


def encode_pooled(
    encoder: CLIPTextModelWithProjection, rows: Sequence[Row], clip_skip: int, lookup: Lookup, end: int
) -> tuple[Tensor, Tensor]:
    """As `encode`, and the projected state [rows, projection_dim] at each row's first token `end`."""
    hidden, pooled = [], []
    for batch in _batches(rows):
        states, last = _hidden(encoder, batch, clip_skip, lookup, to_the_end=True)
        ends = torch.tensor([row.index(end) for row in batch], device=last.device)
        picked = last[torch.arange(len(batch), device=last.device), ends]
        hidden.append(states)
        pooled.append(encoder.text_projection(text_model(encoder).final_layer_norm(picked)))
    return torch.cat(hidden), torch.cat(pooled)


def _batches(rows: Sequence[Row]) -> list[Sequence[Row]]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _hidden(
    encoder: Encoder, rows: Sequence[Row], clip_skip: int, lookup: Lookup, to_the_end: bool = False
) -> tuple[Tensor, Tensor]:
    """The asked-for hidden state, and the state of the last layer that was run."""
    model = text_model(encoder)
    layers = model.encoder.layers
    wanted = len(layers) + 1 - clip_skip
    state = _embedded(model, rows, lookup)
    mask = torch.full((state.shape[1],) * 2, -torch.inf, dtype=state.dtype, device=state.device).triu(1)
    hidden = None
    for done, layer in enumerate(layers[: wanted if wanted > 0 and not to_the_end else None], start=1):
        state = layer(state, mask[None, None])
        hidden = state if done == wanted else hidden
    return model.final_layer_norm(state) if hidden is None else hidden, state


def _embedded(model: CLIPTextModel, rows: Sequence[Row], lookup: Lookup) -> Tensor:
    ids = [[token if isinstance(token, int) else 0 for token in row] for row in rows]
    table = model.embeddings.token_embedding.weight
    vectors = model.embeddings.token_embedding(torch.tensor(ids, device=table.device))
    for index, row in enumerate(rows):
        for position, token in enumerate(row):
            if not isinstance(token, int):
                vectors[index, position] = lookup(token).to(table)
    return model.embeddings(inputs_embeds=vectors)
