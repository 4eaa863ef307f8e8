"""The bundled style texts: complete against fal's enum, well formed, distinct and usable as they stand."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest

import handler.plan
from schemas.style_names import STYLE_NAMES

STYLE_DIR = Path(handler.plan.__file__).parent / "styles"
FAMILY_SIZES = {"fooocus": 8, "sai": 17, "mre": 22, "twri": 89, "diva": 79, "marc_k3nt3l": 62}
NEGATIVE_ONLY = {"Fooocus Enhance", "Fooocus Semi Realistic", "Fooocus Negative"}
# Comma items (positive, negative) of the styles whose size is a known fact of Fooocus.
FOOOCUS_ITEM_COUNTS = {
    "Fooocus Enhance": (0, 67),
    "Fooocus Semi Realistic": (0, 51),
    "Fooocus Sharp": (14, 16),
    "Fooocus Masterpiece": (11, 11),
    "Fooocus Photograph": (11, 49),
    "Fooocus Negative": (0, 57),
    "Fooocus Cinematic": (12, 13),
    "Fooocus Pony": (4, 3),
}

Entry = dict[str, str]


def load(family: str) -> list[Entry]:
    return json.loads((STYLE_DIR / f"{family}.json").read_text(encoding="ascii"))


def items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text else []


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


ENTRIES: list[Entry] = [entry for family in FAMILY_SIZES for entry in load(family)]
TEXTS = [(e["name"], field, e[field]) for e in ENTRIES for field in ("prompt", "negative_prompt")]
POSITIVE_ENTRIES = [e for e in ENTRIES if e["name"] not in NEGATIVE_ONLY]


def test_the_enum_has_277_unique_names() -> None:
    assert len(STYLE_NAMES) == 277
    assert len(set(STYLE_NAMES)) == 277
    assert "Random Style" not in STYLE_NAMES
    assert "Fooocus Pony" not in STYLE_NAMES


def test_every_name_has_exactly_one_entry() -> None:
    counts = Counter(entry["name"] for entry in ENTRIES)
    assert set(counts) == set(STYLE_NAMES) - {"Fooocus V2"} | {"Fooocus Pony"}
    assert set(counts.values()) == {1}


def test_families_are_complete_and_there_are_no_other_files() -> None:
    assert {family: len(load(family)) for family in FAMILY_SIZES} == FAMILY_SIZES
    assert {path.name for path in STYLE_DIR.iterdir()} == {f"{family}.json" for family in FAMILY_SIZES}


def test_an_entry_has_the_three_keys_of_a_fooocus_style() -> None:
    for entry in ENTRIES:
        assert list(entry) == ["name", "prompt", "negative_prompt"], entry


def test_positive_texts_hold_the_placeholder_once_except_negative_only_styles() -> None:
    for entry in ENTRIES:
        expected = 0 if entry["name"] in NEGATIVE_ONLY else 1
        assert entry["prompt"].count("{prompt}") == expected, entry["name"]
        assert "{prompt}" not in entry["negative_prompt"], entry["name"]
    assert {e["name"] for e in ENTRIES if not e["prompt"]} == NEGATIVE_ONLY


@pytest.mark.parametrize(("name", "counts"), FOOOCUS_ITEM_COUNTS.items())
def test_fooocus_family_sizes(name: str, counts: tuple[int, int]) -> None:
    entry = next(e for e in ENTRIES if e["name"] == name)
    assert (len(items(entry["prompt"])), len(items(entry["negative_prompt"]))) == counts


def test_other_styles_are_neither_bare_nor_bloated() -> None:
    for entry in ENTRIES:
        if entry["name"] not in FOOOCUS_ITEM_COUNTS:
            assert 6 <= len(items(entry["prompt"])) <= 16, entry["name"]
            assert 3 <= len(items(entry["negative_prompt"])) <= 12, entry["name"]


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_no_two_styles_share_half_of_their_items(field: str) -> None:
    lists = {e["name"]: set(items(e[field])) for e in ENTRIES if e[field]}
    for (first, a), (second, b) in itertools.combinations(lists.items(), 2):
        assert len(a & b) < 0.5 * min(len(a), len(b)), (first, second, a & b)


def test_no_two_positives_are_rewordings_of_each_other() -> None:
    bags = {e["name"]: words(e["prompt"]) for e in POSITIVE_ENTRIES}
    for (first, a), (second, b) in itertools.combinations(bags.items(), 2):
        assert len(a & b) < 0.3 * len(a | b), (first, second, sorted(a & b))


def test_no_text_repeats_an_item_or_denies_its_own_positive() -> None:
    for entry in ENTRIES:
        positive, negative = items(entry["prompt"]), items(entry["negative_prompt"])
        assert len(set(positive)) == len(positive), entry["name"]
        assert len(set(negative)) == len(negative), entry["name"]
        assert not set(positive) & set(negative), entry["name"]


def test_every_item_is_a_trimmed_phrase() -> None:
    for name, field, text in TEXTS:
        assert text == ", ".join(items(text)), (name, field)
        assert all(items(text)), (name, field)


def test_parentheses_are_balanced_inside_each_item_and_weights_are_moderate() -> None:
    for name, field, text in TEXTS:
        for item in items(text):
            weights = re.findall(r"\(([^()]+):(\d\.\d)\)", item)
            assert item.count("(") == item.count(")") == len(weights), (name, field, item)
            assert all(1.0 < float(weight) <= 1.4 for _, weight in weights), (name, field, item)


def test_no_text_triggers_wildcards_arrays_or_inline_loras() -> None:
    for name, field, text in TEXTS:
        rest = text.replace("{prompt}", "", 1)
        assert text.isprintable(), (name, field)
        assert not re.search(r"[\[\]{}<>|]|__|\.\.", rest), (name, field)


def test_positive_texts_do_not_negate() -> None:
    # A text encoder reads "no frame" as "frame": what is unwanted belongs in the negative text.
    for entry in POSITIVE_ENTRIES:
        assert not re.search(r"\b(no|not|without|never)\b", entry["prompt"]), entry["name"]
