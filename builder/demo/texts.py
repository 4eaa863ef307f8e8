"""Prompt encoding for training: what the engine does with texts, for whole batches.

Each text is 77 tokens; the UNet's context is `hidden_states[-2]` of both encoders side by side, the pooled vector
is the second encoder's projected output. A picture may have several texts: their contexts are joined along the
token axis and their pooled vectors added.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from builder.demo import tokenizer


@lru_cache
def tokenizers() -> tuple[CLIPTokenizer, CLIPTokenizer]:
    """The demo's two tokenizers; they differ in how they pad."""
    with TemporaryDirectory() as folder:
        for name, pad in (("1", tokenizer.END), ("2", "!")):
            tokenizer.write(Path(folder) / name, pad)
        return tokenizer.load(Path(folder) / "1"), tokenizer.load(Path(folder) / "2")


def token_ids(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids for both encoders, each (n, 77)."""
    options = {"padding": "max_length", "max_length": tokenizer.LENGTH, "truncation": True, "return_tensors": "pt"}
    first, second = tokenizers()
    return first(texts, **options).input_ids, second(texts, **options).input_ids


def encode(
    text_1: CLIPTextModel, text_2: CLIPTextModelWithProjection, texts: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Context (n, 77, width 1 + width 2) and pooled vectors (n, pooled) of single texts."""
    ids_1, ids_2 = (ids.to(text_1.device) for ids in token_ids(texts))
    one = text_1(ids_1, output_hidden_states=True)
    two = text_2(ids_2, output_hidden_states=True)
    return torch.cat([one.hidden_states[-2], two.hidden_states[-2]], dim=-1), two.text_embeds


def encode_joined(
    text_1: CLIPTextModel,
    text_2: CLIPTextModelWithProjection,
    texts: list[list[str]],
    pooled: list[int] | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `encode` for pictures with several texts each: (n, 77 * longest, width) and (n, pooled).

    A shorter list is repeated, which leaves attention over it unchanged; the pooled vectors of the first `pooled`
    texts of a picture, or of all of them, are added.
    """
    longest = max(len(parts) for parts in texts)
    context, vectors = encode(text_1, text_2, [text for parts in texts for text in parts])
    counts = pooled or [len(parts) for parts in texts]
    contexts, sums, start = [], [], 0
    for parts, count in zip(texts, counts, strict=True):
        own = context[start : start + len(parts)]
        contexts.append(own.repeat(-(-longest // len(parts)), 1, 1)[:longest].flatten(0, 1))
        sums.append(vectors[start : start + count].sum(dim=0))
        start += len(parts)
    return torch.stack(contexts), torch.stack(sums)


def first_end(ids: torch.Tensor) -> torch.Tensor:
    """Position of the first end token of each row, (n,)."""
    return (ids == tokenizer.size() - 1).int().argmax(dim=1)
