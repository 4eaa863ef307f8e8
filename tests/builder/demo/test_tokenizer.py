"""The demo's tokenizer: CLIP's file format, every byte covered, words of the world as single tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer, CLIPTokenizerFast

from builder.demo import tokenizer
from builder.demo.texts import first_end, token_ids


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.write(path, pad_token="!")
    return path


@pytest.mark.parametrize("kind", [CLIPTokenizer, CLIPTokenizerFast])
def test_transformers_loads_it_from_its_files_alone(folder: Path, kind: type) -> None:
    loaded = kind.from_pretrained(str(folder), local_files_only=True)
    ids = loaded("a red circle on a blue background").input_ids
    assert len(ids) == 7 + 2
    assert (ids[0], ids[-1]) == (loaded.bos_token_id, loaded.eos_token_id)
    assert loaded.pad_token_id == 0


def test_special_tokens_come_last(folder: Path) -> None:
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    assert len(vocabulary) == tokenizer.size() <= 2048
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert (vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]) == (len(vocabulary) - 2, len(vocabulary) - 1)


@pytest.mark.parametrize("word", sorted(tokenizer.WORLD_WORDS))
def test_words_of_the_world_are_single_tokens(folder: Path, word: str) -> None:
    assert len(tokenizer.load(folder)(word).input_ids) == 3


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30))
def test_any_text_survives_but_for_case_and_spaces(folder: Path, text: str) -> None:
    loaded = tokenizer.load(folder)
    ids = loaded(text, add_special_tokens=False).input_ids
    back = loaded.decode(ids, skip_special_tokens=False)
    plain = loaded.backend_tokenizer.normalizer.normalize_str(text)
    assert back.replace(" ", "") == plain.replace(" ", "")


def test_both_paddings_end_at_the_first_end_token() -> None:
    ids_1, ids_2 = token_ids(["a red circle", ""])
    assert ids_1.shape == ids_2.shape == (2, 77)
    assert first_end(ids_1).tolist() == first_end(ids_2).tolist() == [4, 1]
    assert ids_1[0, 5] == tokenizer.size() - 1
    assert ids_2[0, 5] == 0


def test_merges_are_learned_the_same_every_time() -> None:
    first = tokenizer.learn_merges(tokenizer.corpus(), 50)
    assert first == tokenizer.learn_merges(tokenizer.corpus(), 50)
    assert len(set(first)) == 50
