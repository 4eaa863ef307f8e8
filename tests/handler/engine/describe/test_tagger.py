"""The tagger prepares pictures and chooses tags as WD14 wants it, and names what is drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from builder.demo.captions import plain
from builder.demo.world import draw
from handler.engine.describe.tagger import STEM, Tag, Tagger, chosen, prepared, read_tags
from schemas.errors import ModelMissing
from tests.support.models import DEMO

TABLE = (
    Tag("general", 9), Tag("1girl", 0), Tag("long_hair", 0), Tag("smile_(expression)", 0), Tag("alice_(wonderland)", 4)
)  # fmt: skip


@pytest.fixture(scope="module")
def demo() -> Tagger:
    return Tagger.load([DEMO])


def scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_characters_come_first_and_parentheses_are_escaped() -> None:
    expected = r"alice \(wonderland\), 1girl, long hair, smile \(expression\)"
    assert chosen(TABLE, scores(0.99, 0.9, 0.5, 0.4, 0.9)) == expected


def test_a_tag_must_exceed_its_categorys_threshold() -> None:
    assert chosen(TABLE, scores(1.0, 0.34, 0.36, 0.0, 0.84)) == "long hair"
    assert chosen(TABLE, scores(1.0, 0.0, 0.0, 0.0, 0.86)) == r"alice \(wonderland\)"
    assert chosen(TABLE, scores(1.0, 0.0, 0.0, 0.0, 0.0)) == ""


def test_a_table_of_another_network_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        chosen(TABLE, scores(0.5, 0.5))


def test_the_picture_stands_in_a_white_square_in_bgr() -> None:
    pixels = np.full((30, 60, 3), (250, 100, 5), np.uint8)
    made = prepared(pixels, 448)
    assert (made.shape, made.dtype) == ((1, 448, 448, 3), np.float32)
    assert (made[0, 112:336] == (5, 100, 250)).all()
    assert (made[0, :112] == 255).all()
    assert (made[0, 336:] == 255).all()


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (448, 448), (7, 5)])
def test_pictures_of_any_proportions_fit(shape: tuple[int, int]) -> None:
    made = prepared(np.zeros((*shape, 3), np.uint8), 448)
    assert made.shape == (1, 448, 448, 3)
    assert made.min() == 0


@pytest.mark.parametrize(
    ("colour", "shape", "ground"),
    [("red", "circle", "blue"), ("green", "star", "white"), ("yellow", "square", "purple"), ("white", "ring", "black")],
)
def test_tags_name_colours_and_shape(colour: str, shape: str, ground: str, demo: Tagger) -> None:
    tags = demo.tags(np.asarray(draw(plain(colour, shape, ground).scene, 256, 256))).split(", ")
    assert {f"{colour} {shape}", f"{ground} background"} <= {*tags}
    assert "general" not in tags


def test_the_table_is_read_by_its_columns(tmp_path: Path) -> None:
    table = tmp_path / "tags.csv"
    table.write_text('tag_id,name,category,count\n9999999,general,9,807858\n470575,1girl,0,4225150\n7,":d,",4,1\n')
    assert read_tags(table) == [Tag("general", 9), Tag("1girl", 0), Tag(":d,", 4)]


def test_none_installed(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=rf"python -m builder fetch {STEM}\.onnx {STEM}\.csv$"):
        Tagger.load([tmp_path])


@pytest.mark.parametrize(("suffix", "content"), [("onnx", b"no network"), ("csv", b"one,two\n1,2\n"), ("csv", b"\xff")])
def test_a_damaged_file_is_named(suffix: str, content: bytes, tmp_path: Path) -> None:
    shutil.copytree(DEMO / "clip_vision", tmp_path / "clip_vision")
    (tmp_path / "clip_vision" / f"{STEM}.{suffix}").write_bytes(content)
    with pytest.raises(ModelMissing, match="cannot be used"):
        Tagger.load([tmp_path])
