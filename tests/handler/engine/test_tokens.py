"""Words become tokens and chunks: 75 to a chunk, words kept whole, padding and special tokens from the tokenizer."""

from __future__ import annotations

import pytest
from transformers import CLIPTokenizer

from handler.engine.tokens import CHUNK, Chunk, Vector, Word, chunks, empty_chunk, pack
from tests.support.models import DEMO_CHECKPOINT


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(DEMO_CHECKPOINT / "tokenizer", local_files_only=True)


@pytest.fixture(scope="module")
def tokenizer_2() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(DEMO_CHECKPOINT / "tokenizer_2", local_files_only=True)


def word(length: int, weight: float = 1.0, start: int = 10) -> Word:
    return Word(tuple(range(start, start + length)), weight)


def text_of(chunk: Chunk, tokenizer: CLIPTokenizer) -> list[object]:
    end = chunk.tokens.index(tokenizer.eos_token_id)
    assert chunk.tokens[0] == tokenizer.bos_token_id
    assert set(chunk.tokens[end + 1 :]) <= {tokenizer.pad_token_id}
    assert len(chunk.tokens) == len(chunk.weights) == CHUNK
    return list(chunk.tokens[1:end])


def lengths(words: list[Word], tokenizer: CLIPTokenizer) -> list[int]:
    return [len(text_of(chunk, tokenizer)) for chunk in pack(words, tokenizer)]


def test_an_empty_prompt_is_one_chunk(tokenizer: CLIPTokenizer) -> None:
    for prompt in ("", "   ", "\n", "()"):
        (chunk,) = chunks(prompt, tokenizer)
        assert chunk == empty_chunk(tokenizer)
        assert text_of(chunk, tokenizer) == []
        assert not chunk.weighted


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([word(1)] * 75, [75]),
        ([word(1)] * 76, [75, 1]),
        ([word(1)] * 72 + [word(5), word(1)], [72, 6]),
        ([word(1)] * 70 + [word(5)], [75]),
        ([word(1)] * 70 + [word(7)], [70, 7]),
        ([word(1)] * 70 + [word(8)], [75, 3]),
        ([word(1)] * 75 + [word(8)], [75, 8]),
        ([word(200)], [75, 75, 50]),
        ([word(1)] * 70 + [word(155)], [75, 75, 75]),
    ],
)
def test_packing(words: list[Word], expected: list[int], tokenizer: CLIPTokenizer) -> None:
    assert lengths(words, tokenizer) == expected


def test_a_cut_word_goes_on_in_order_and_keeps_its_weight(tokenizer: CLIPTokenizer) -> None:
    first, second = pack([word(1)] * 70 + [word(20, 1.5, start=100)], tokenizer)
    assert text_of(first, tokenizer)[70:] + text_of(second, tokenizer) == list(range(100, 120))
    assert first.weights[71:76] == (1.5,) * 5
    assert second.weights[:17] == (1.0, *[1.5] * 15, 1.0)
    assert first.weighted
    assert second.weighted


def test_weights_fall_on_the_tokens_of_their_words(tokenizer: CLIPTokenizer) -> None:
    (chunk,) = chunks("a (red circle:1.3) on blue", tokenizer)
    plain = chunks("a red circle on blue", tokenizer)[0]
    assert chunk.tokens == plain.tokens
    count = len(text_of(chunks("a", tokenizer)[0], tokenizer))
    weighted = len(text_of(chunks("red circle", tokenizer)[0], tokenizer))
    assert chunk.weights[1 : 1 + count] == (1.0,) * count
    assert chunk.weights[1 + count : 1 + count + weighted] == (1.3,) * weighted
    assert set(chunk.weights[1 + count + weighted :]) == {1.0}


def test_escaped_parentheses_are_tokens(tokenizer: CLIPTokenizer) -> None:
    assert (
        chunks(r"\(red\)", tokenizer)[0].tokens
        == pack([Word(tuple(tokenizer("(red)", add_special_tokens=False).input_ids), 1.0)], tokenizer)[0].tokens
    )
    assert len(text_of(chunks(r"\(red\)", tokenizer)[0], tokenizer)) > len(
        text_of(chunks("(red)", tokenizer)[0], tokenizer)
    )


def test_case_newlines_and_invisible_characters_do_not_matter(tokenizer: CLIPTokenizer) -> None:
    plain = chunks("a red circle", tokenizer)
    for prompt in ("A RED Circle", "a\nred\ncircle", "a  red\u200b   circle", "a red\u00ad circle\x00"):
        assert chunks(prompt, tokenizer) == plain


def test_the_two_tokenizers_differ_in_padding_only(tokenizer: CLIPTokenizer, tokenizer_2: CLIPTokenizer) -> None:
    first, second = (chunks("a red circle!", each)[0] for each in (tokenizer, tokenizer_2))
    assert text_of(first, tokenizer) == text_of(second, tokenizer_2)
    assert first.tokens[-1] == tokenizer.eos_token_id
    assert second.tokens[-1] == tokenizer_2.pad_token_id == 0


def test_a_prompt_cannot_write_special_tokens(tokenizer: CLIPTokenizer) -> None:
    (chunk,) = chunks("red <|endoftext|> circle <|startoftext|>", tokenizer)
    special = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert not set(special) & set(text_of(chunk, tokenizer))
    assert "circle" in tokenizer.decode(text_of(chunk, tokenizer))


def test_ideographs_are_words_of_their_own(tokenizer: CLIPTokenizer) -> None:
    assert chunks("東京", tokenizer) == chunks("東 京", tokenizer)


def test_embeddings_stand_in_the_prompt_as_vectors(tokenizer: CLIPTokenizer) -> None:
    counts = {"one": 3, "comma,": 1}
    found = chunks(
        "a (embedding:one,:1.2) embedding:comma, embedding:none", tokenizer, lambda name: counts.get(name, 0)
    )
    comma = tokenizer(",", add_special_tokens=False).input_ids
    a = tokenizer("a", add_special_tokens=False).input_ids
    assert text_of(found[0], tokenizer) == [*a, *(Vector("one", row) for row in range(3)), *comma, Vector("comma,", 0)]
    assert found[0].weights[1 + len(a) : 4 + len(a)] == (1.2,) * 3


def test_an_embedding_is_one_word(tokenizer: CLIPTokenizer) -> None:
    found = chunks(" ".join(["a"] * 73) + " embedding:x", tokenizer, lambda name: 5)
    assert [len(text_of(chunk, tokenizer)) for chunk in found] == [73, 5]
