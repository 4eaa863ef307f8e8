"""PyraCanny and CPDS give what Fooocus's give, to the pixel; pictures of any size and without contrast are taken."""

from __future__ import annotations

import numpy as np
import pytest

from handler.pixels.canny import pyra_canny
from handler.pixels.cpds import cpds
from handler.pixels.hints import nearest_cover
from tests.support.golden import Case, assert_close, cases

CASES = cases("image", lambda case: "cpds.png" in case.files("expected"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recorded_pictures(case: Case) -> None:
    picture = case.picture("image.png")
    for low, high in ((64, 128), (30, 200)):
        name = f"pyra_canny_{low}_{high}.png"
        assert_close(case, name, pyra_canny(picture, low, high))
        np.testing.assert_array_equal(pyra_canny(picture, high, low), pyra_canny(picture, low, high))
    assert_close(case, "cpds.png", cpds(picture))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (64, 8)])
def test_small_and_narrow_pictures(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    for result in (pyra_canny(picture, 64, 128), cpds(picture)):
        assert (result.shape, result.dtype) == (shape, np.uint8)


def test_a_picture_without_contrast_is_black() -> None:
    flat = np.full((32, 48, 3), 77, np.uint8)
    assert not pyra_canny(flat, 64, 128).any()
    assert not cpds(flat).any()


def test_the_frame_is_filled_from_the_middle() -> None:
    picture = np.zeros((10, 30, 3), np.uint8)
    picture[:, 10:20] = 200
    picture[5:, 10:20, 0] = 9
    square = nearest_cover(picture, 20, 20)
    assert square.shape == (20, 20, 3)
    assert (square[..., 1] == 200).all()
    assert (square[:10, :, 0] == 200).all()
    assert (square[10:, :, 0] == 9).all()
    np.testing.assert_array_equal(nearest_cover(picture.swapaxes(0, 1), 20, 20), square.swapaxes(0, 1))
