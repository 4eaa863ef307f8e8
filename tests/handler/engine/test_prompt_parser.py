"""Emphasis: parentheses, absolute weights, escapes, and what unbalanced or hostile prompts become."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.engine.prompt_parser import MAX_WEIGHT, parse


def spans(prompt: str) -> list[tuple[str, float]]:
    return [(span.text, pytest.approx(span.weight)) for span in parse(prompt)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("", []),
        ("a plain text", [("a plain text", 1)]),
        ("a (red:1.3) house", [("a ", 1), ("red", 1.3), (" house", 1)]),
        ("((a)) (((b)))", [("a", 1.21), (" ", 1), ("b", 1.331)]),
        ("(a (b:1.4) c)", [("a ", 1.1), ("b", 1.4), (" c", 1.1)]),
        ("(a (b:1.5) c:0.7) d", [("a ", 0.7), ("b", 1.5), (" c", 0.7), (" d", 1)]),
        ("(a ((b)):2)", [("a ", 2), ("b", 2.42)]),
        (r"a \(b\) (c \(d\) e:1.2)", [("a (b) ", 1), ("c (d) e", 1.2)]),
        (r"(a\)", [(r"(a)", 1)]),
        ("[a] {b} <c>", [("[a] {b} <c>", 1)]),
        ("a (b", [("a ", 1), ("(b", 1)]),
        ("a) b (c:1.2) d", [("a) b (c:1.2) d", 1)]),
        ("a) (b) ((c) (d)", [("a) (b) (", 1), ("c", 1.1), (" ", 1), ("d", 1.1)]),
        ("( a (b:1.2)", [(" a ", 1.2), ("(b", 1.2)]),
        ("(:1.3)", [(":1.3", 1.1)]),
        ("(a:b:1.6)", [("a:b", 1.6)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("(a : 1.4)", [("a ", 1.4)]),
        ("(a:1.2 )", [("a", 1.2)]),
        ("(a:)", [("a:", 1.1)]),
        ("(a:0)(b:-0.5)", [("a", 0), ("b", -0.5)]),
        ("()", []),
        ("(())", []),
        ("(a:nan)(b:inf)", [("a:nan", 1.1), ("b:inf", 1.1)]),
        ("(a:1e9)(b:-1e9)", [("a", MAX_WEIGHT), ("b", -MAX_WEIGHT)]),
        ("a\ud800(b)", [("a\ud800", 1), ("b", 1.1)]),
    ],
)
def test_grammar(prompt: str, expected: list[tuple[str, float]]) -> None:
    assert spans(prompt) == expected


@given(st.text(alphabet=r"a:1.5 ()\[]", max_size=60))
def test_any_text_parses_to_finite_weights_and_loses_no_word(prompt: str) -> None:
    result = parse(prompt)
    assert all(abs(span.weight) <= MAX_WEIGHT and span.text for span in result)
    assert "".join(span.text for span in result).count("a") == prompt.count("a")


@pytest.mark.parametrize("prompt", ["(" * 50_000, "(" * 25_000 + "a" + ")" * 25_000, ")" * 50_000, "(a:1.1)" * 8_000])
def test_hostile_prompts_take_no_time(prompt: str) -> None:
    started = time.process_time()
    result = parse(prompt)
    assert time.process_time() - started < 2
    assert all(abs(span.weight) <= MAX_WEIGHT for span in result)
