"""Conditioning agrees with the golden vectors from token ids on: weights, clip skip, several texts, inversion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from handler.engine.checkpoint import SdxlModel
from handler.engine.conditioning import Side, TextChunks, TextEncoder, TextEncoding, encode_chunks
from handler.engine.text_encoder import BATCH
from handler.engine.tokens import Chunk, Vector
from handler.engine.types import Conditioning
from tests.support.golden import Case, assert_close, cases

CASES = cases("conditioning")
SINGLE = [case for case in CASES if "tokens_l" in case.tensors]
SEVERAL = [case for case in CASES if "texts" in case.parameters]


def chunks_of(case: Case, key: str) -> list[Chunk]:
    """A case's tokens; positions marked -1 take the rows of its embedding in turn."""
    rows: dict[str, list[Chunk]] = {"l": [], "g": []}
    for tokens, weights in zip(case.tensors[f"tokens_{key}"], case.tensors[f"weights_{key}"], strict=True):
        turn = iter(range(77))
        made = tuple(Vector("", next(turn)) if token == -1 else token for token in tokens.tolist())
        rows[key].append(Chunk(made, tuple(weights.tolist())))
    return rows[key]


def text_chunks(case: Case) -> TextChunks:
    return TextChunks(chunks_of(case, "l"), chunks_of(case, "g"))


def encode(model: SdxlModel, case: Case, texts: list[TextChunks]) -> list[TextEncoding]:
    name = case.parameters.get("embedding_name")
    vectors = load_file(case.folder / f"{name}.safetensors") if name else {}
    with torch.no_grad():
        return encode_chunks(
            model, texts, case.parameters["clip_skip"], lambda key, token: vectors[key][token.row].float()
        )


def test_all_cases_are_here() -> None:
    assert (len(SINGLE), len(SEVERAL), len(CASES)) == (32, 5, 37)


@pytest.mark.parametrize("case", SINGLE, ids=lambda case: case.id)
def test_one_text(case: Case, tiny: SdxlModel) -> None:
    (result,) = encode(tiny, case, [text_chunks(case)])
    assert_close(case, "cond", result.cond)
    assert_close(case, "pooled", result.pooled)


def test_all_texts_at_once(tiny: SdxlModel) -> None:
    """A batch over many texts gives what each alone gives."""
    plain = [case for case in SINGLE if case.parameters["clip_skip"] == 2 and "embedding_name" not in case.parameters]
    together = encode(tiny, plain[0], [text_chunks(case) for case in plain])
    for case, result in zip(plain, together, strict=True):
        assert_close(case, "cond", result.cond)
        assert_close(case, "pooled", result.pooled)


@cache
def known_texts() -> dict[str, TextChunks]:
    return {case.parameters["text"]: text_chunks(case) for case in SINGLE if case.parameters["clip_skip"] == 2}


class FromTokens(TextEncoder):
    """The encoder with texts cut into the golden set's tokens, as CLIP's own vocabulary does it."""

    def _chunks(self, text: str) -> TextChunks:
        return known_texts()[text]


@pytest.mark.parametrize("case", SEVERAL, ids=lambda case: case.id)
def test_several_texts(case: Case, tiny: SdxlModel) -> None:
    side = Side(tuple(case.parameters["texts"]), case.parameters["pool_top_k"])
    (result,) = FromTokens(tiny).encode([side], case.parameters["clip_skip"])
    assert_close(case, "cond", result.cond)
    assert_close(case, "pooled", result.pooled)


@contextmanager
def counted(model: SdxlModel) -> Iterator[list[tuple[str, int]]]:
    """(encoder, rows) of every forward of the encoders."""
    calls: list[tuple[str, int]] = []

    def note(name: str) -> object:
        return lambda module, args, kwargs, output: calls.append((name, len(output)))

    encoders = {"l": model.text_encoder, "g": model.text_encoder_2.text_model}
    handles = [
        encoder.embeddings.register_forward_hook(note(name), with_kwargs=True) for name, encoder in encoders.items()
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def test_all_texts_of_a_job_go_through_each_encoder_once_and_are_remembered(tiny: SdxlModel) -> None:
    encoder = TextEncoder(tiny)
    sides = [Side(("a dog", "red"), 2), Side(("a cat", "red"), 1), Side(("",), 1)]
    with counted(tiny) as calls:
        first = encoder.encode(sides, 2)
        assert calls == [("l", 4), ("g", 4)]
        again = encoder.encode([sides[1], Side(("a dog",), 1)], 2)
        assert len(calls) == 2
        encoder.encode([Side(("a dog",), 1)], 3)
        assert len(calls) == 4
        encoder.forget()
        encoder.encode([Side(("a dog",), 1)], 2)
        assert len(calls) == 6
    assert torch.equal(again[0].cond, first[1].cond)
    assert torch.equal(again[1].cond, first[0].cond[:, :77])


def test_patched_encoders_have_memories_of_their_own(tiny: SdxlModel) -> None:
    encoder = TextEncoder(tiny)
    side = Side(("a dog",), 1)
    (before,) = encoder.encode([side], 2)
    weight = tiny.text_encoder.embeddings.token_embedding.weight
    original = weight.data
    try:
        tiny.variant, weight.data = ("changed",), original + 1
        (changed,) = encoder.encode([side], 2)
    finally:
        tiny.variant, weight.data = (), original
    assert not torch.allclose(changed.cond, before.cond, atol=1e-3)
    assert torch.equal(encoder.encode([side], 2)[0].cond, before.cond)


def test_large_jobs_are_cut_into_batches(tiny: SdxlModel) -> None:
    with counted(tiny) as calls:
        TextEncoder(tiny).encode([Side(tuple(f"number {index}" for index in range(BATCH + 3)), 1)], 2)
    assert calls == [("l", BATCH), ("l", 4), ("g", BATCH), ("g", 4)]


def test_a_long_prompt_and_its_shapes(tiny: SdxlModel) -> None:
    (result,) = TextEncoder(tiny).encode([Side(("word " * 60, "short"), 2)], 2)
    assert isinstance(result, Conditioning)
    assert result.cond.shape == (1, 77 * 5, 32)
    assert result.pooled.shape == (1, 1280)


def test_weights_that_say_nothing_about_the_mean_stay_finite(tiny: SdxlModel) -> None:
    (result,) = TextEncoder(tiny).encode([Side(("(all of it:0)", "(a:100) (b:-100)"), 2)], 2)
    assert result.cond.isfinite().all()


def test_a_prompt_names_an_embedding(tiny: SdxlModel, tmp_path: Path) -> None:
    save_file({"clip_l": torch.ones(2, 16), "clip_g": torch.ones(2, 16)}, tmp_path / "style.safetensors")
    encoder = TextEncoder(tiny, tmp_path)
    named, plain, unknown = (
        encoder.encode([Side((text,), 1)], 2)[0].cond for text in ("a embedding:style", "a", "a embedding:nothing")
    )
    assert not torch.allclose(named, plain, atol=1e-3)
    assert torch.equal(unknown, plain)
