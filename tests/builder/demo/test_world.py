"""The drawn world: scenes scale with the picture, shapes lie where they should, captions say what is drawn."""

from __future__ import annotations

import random

import numpy as np
import pytest

from builder.demo import captions
from builder.demo.tokenizer import words_of
from builder.demo.world import (
    BACKGROUNDS,
    COLOURS,
    POSITIONS,
    SHAPES,
    STYLES,
    Background,
    Scene,
    Shape,
    colour_distance,
    draw,
    mask,
)


def pixel(picture, x: float, y: float) -> tuple[int, ...]:
    return picture.getpixel((int(x * picture.width), int(y * picture.height)))


@pytest.mark.parametrize("colour", COLOURS)
def test_plain_sentence_is_a_centred_shape_on_a_plain_background(colour: str) -> None:
    other = max(COLOURS, key=lambda name: colour_distance(name, colour))
    example = captions.plain(colour, "circle", other)
    picture = draw(example.scene, 96, 96)
    assert example.caption.split()[1:] == [colour, "circle", "on", *captions.article(other).split(), "background"]
    assert pixel(picture, 0.5, 0.5) == COLOURS[colour]
    assert all(pixel(picture, x, y) == COLOURS[other] for x in (0.02, 0.95) for y in (0.02, 0.95))


def test_plain_sentence_matches_the_documented_one() -> None:
    assert captions.plain("red", "circle", "blue").caption == "a red circle on a blue background"
    assert captions.plain("orange", "star", "orange").caption == "an orange star on an orange background"


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes_are_centred_and_as_large_as_asked(kind: str) -> None:
    left, top, right, bottom = mask(Shape(kind, "red", 0.25, 0.75, 0.4), 400, 200).getbbox()
    assert (left + right) / 2 == pytest.approx(100, abs=4)
    assert (top + bottom) / 2 == pytest.approx(150, abs=8)
    assert 0.8 * 80 <= right - left <= 1.05 * 80


@pytest.mark.parametrize("size", [(64, 64), (144, 112), (112, 144)])
def test_a_scene_looks_the_same_at_another_size(size: tuple[int, int]) -> None:
    scene = Scene(Background("gray"), (Shape("star", "yellow"),))
    small, large = draw(scene, *size), draw(scene, size[0] * 4, size[1] * 4)
    difference = np.asarray(large.reduce(4), dtype=float) - np.asarray(small, dtype=float)
    assert np.abs(difference).mean() < 2


def test_edges_are_anti_aliased() -> None:
    picture = draw(Scene(Background("black"), (Shape("circle", "white"),)), 64, 64)
    assert len(np.unique(np.asarray(picture)[..., 0])) > 5


@pytest.mark.parametrize("kind", BACKGROUNDS[1:])
def test_patterns_show_both_colours(kind: str) -> None:
    pixels = np.asarray(draw(Scene(Background("red", kind, "blue")), 64, 64), dtype=float)
    for colour in ("red", "blue"):
        near = np.abs(pixels - COLOURS[colour]).max(-1) < 12
        assert near.mean() > 0.02


def test_styles_differ_from_flat() -> None:
    scenes = {style: Scene(Background("blue"), (Shape("cross", "yellow", style=style),)) for style in STYLES}
    pictures = {style: np.asarray(draw(scene, 96, 96), dtype=float) for style, scene in scenes.items()}
    for style in STYLES[1:]:
        assert np.abs(pictures[style] - pictures["flat"]).mean() > 0.5, style


@pytest.mark.parametrize(
    "scene", [Scene(Background("red", "plaid", "blue")), Scene(Background("red"), (Shape("egg", "blue"),))]
)
def test_unknown_names_are_refused(scene: Scene) -> None:
    with pytest.raises(ValueError, match="unknown"):
        draw(scene, 16, 16)


def test_captions_name_what_the_scene_holds() -> None:
    rng = random.Random(7)
    for _ in range(300):
        example = captions.sample(rng)
        words = words_of(example.caption)
        shape = example.scene.shapes[0]
        assert example.named.get("colour", shape.colour) == shape.colour
        assert example.named.get("shape", shape.kind) == shape.kind
        assert ("colour" in example.named) <= (shape.colour in words)
        assert ("background" in example.named) <= (example.scene.background.colour in words)
        assert all(0 < s.x < 1 and 0 < s.y < 1 and s.diameter < 0.8 for s in example.scene.shapes)


def test_shapes_can_be_told_from_the_background() -> None:
    rng = random.Random(8)
    for _ in range(200):
        scene = captions.sample(rng).scene
        for shape in scene.shapes:
            assert colour_distance(shape.colour, scene.background.colour) > captions.MIN_COLOUR_DISTANCE


def test_captions_depend_on_the_seed_alone() -> None:
    first = [captions.sample(random.Random(seed)) for seed in range(20)]
    assert first == [captions.sample(random.Random(seed)) for seed in range(20)]
    assert len({example.caption for example in first}) > 15


def test_places_are_where_their_words_say() -> None:
    for name, (x, y) in POSITIONS.items():
        assert ("left" in name) == (x < 0.5)
        assert ("top" in name) == (y < 0.5)
