"""Texts to token ids and weights, and to what the UNet is told."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.outcome import Omitted
from benchmarks.parity.vectors import Case
from handler.engine.conditioning import Side, TextEncoder
from handler.engine.tokens import CHUNK, Chunk, Vector

VECTOR = -1
"""Stands for the vectors of a textual inversion among recorded token ids."""


def one_text(case: Case, networks: Networks) -> Results:
    """Where the set brings no vocabulary, recorded token ids are what is encoded."""
    text = case.parameters["text"]
    encoder = networks.text_encoder(case.folder)
    results = encoded(encoder, Side((text,), 1), case.parameters["clip_skip"])
    if not networks.has_vocabulary:
        given = Omitted("token ids and weights that the set's own copy, without CLIP's vocabulary, takes as given")
        return results | dict.fromkeys(("tokens_l", "tokens_g", "weights_l", "weights_g"), given)
    for key, chunks in zip(("l", "g"), encoder._chunks(text), strict=True):
        results[f"tokens_{key}"] = ids_of(chunks)
        results[f"weights_{key}"] = torch.tensor([chunk.weights for chunk in chunks])
    return results


def several_texts(case: Case, networks: Networks) -> Results:
    side = Side(tuple(case.parameters["texts"]), case.parameters["pool_top_k"])
    return encoded(networks.text_encoder(), side, case.parameters["clip_skip"])


def encoded(encoder: TextEncoder, side: Side, clip_skip: int) -> dict[str, Any]:
    (result,) = encoder.encode([side], clip_skip)
    return {"cond": result.cond, "pooled": result.pooled}


def ids_of(chunks: list[Chunk]) -> Tensor:
    """[chunks, 77]"""
    rows = [[VECTOR if isinstance(token, Vector) else token for token in chunk.tokens] for chunk in chunks]
    return torch.tensor(rows).reshape(-1, CHUNK)


KINDS = (
    Kind(lambda case: "text" in case.parameters and case.has("expected", "tokens_l", "cond", "pooled"), one_text),
    Kind(lambda case: "texts" in case.parameters and case.has("expected", "cond", "pooled"), several_texts),
)
