"""Names: safe ones stay, others become safe, short and still different from each other."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handler.storage.names import MAX_NAME, safe_name

SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


@pytest.mark.parametrize("name", ["a.png", "2026-01-02_10-00-00_1234-0.webp", "sync-0f3a-e1", "A_b-C.tar.gz"])
def test_safe_names_stay(name: str):
    assert safe_name(name) == name


@given(st.text())
def test_every_text_becomes_a_safe_name(text: str):
    name = safe_name(text)
    assert SAFE.fullmatch(name)
    assert len(name) <= MAX_NAME
    assert safe_name(name) == name


@given(st.lists(st.text(max_size=8), min_size=2, max_size=30, unique=True))
def test_different_texts_get_different_names(texts: list[str]):
    assert len({safe_name(text) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("Zürich.png", r"Zurich-[0-9a-f]{8}\.png"),
        ("../../etc/passwd", r"etc_passwd-[0-9a-f]{8}"),
        (".hidden", r"hidden-[0-9a-f]{8}"),
        ("東京.jpeg", r"jpeg-[0-9a-f]{8}|file-[0-9a-f]{8}\.jpeg"),
        ("", r"file-[0-9a-f]{8}"),
        ("a" * 300 + ".webp", r"a{82}-[0-9a-f]{8}\.webp"),
    ],
)
def test_what_can_be_kept_is_kept(text: str, pattern: str):
    assert re.fullmatch(pattern, safe_name(text))


def test_lone_surrogates_are_no_trouble():
    assert SAFE.fullmatch(safe_name("\ud800.png"))
