"""The judge reads drawn pictures right in at least 99 % of the questions the scores ask."""

from __future__ import annotations

from collections import Counter

import pytest
from PIL import Image

from builder.demo.judge import colour_shares, read
from builder.demo.score import Score, held_out, mark
from builder.demo.world import COLOURS, Background, Scene, Shape, draw


def test_drawn_pictures_are_read_right() -> None:
    total = Score(Counter(), Counter())
    for example in held_out(120):
        mark(example, read(draw(example.scene, 192, 192, 2)), total)
    assert total.asked["background"] == 120
    assert {name: share for name, share in total.shares().items() if share < 0.99} == {}


@pytest.mark.parametrize("size", [(512, 512), (576, 448), (130, 200)])
def test_size_and_proportions_do_not_matter(size: tuple[int, int]) -> None:
    scene = Scene(Background("blue"), (Shape("triangle", "yellow", 0.75, 0.5, 0.3),))
    (seen,) = read(draw(scene, *size)).shapes
    assert (seen.kind, seen.colour) == ("triangle", "yellow")
    assert (seen.x, seen.y) == pytest.approx((0.75, 0.5), abs=0.03)


def test_wrong_pictures_are_marked_wrong() -> None:
    example = held_out(1)[0]
    total = Score(Counter(), Counter())
    unlike = next(c for c in COLOURS if c not in (example.scene.background.colour, example.scene.shapes[0].colour))
    mark(example, read(Image.new("RGB", (64, 64), COLOURS[unlike])), total)
    assert set(total.right.values()) == {0}


def test_held_out_captions_are_the_same_each_time() -> None:
    assert held_out(20) == held_out(30)[:20]


def test_colour_shares_sum_to_one() -> None:
    shares = colour_shares(draw(Scene(Background("green"), (Shape("square", "white", diameter=0.5),)), 64, 64))
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["green"] > 0.7 > 0.3 > shares["white"] > 0.1
