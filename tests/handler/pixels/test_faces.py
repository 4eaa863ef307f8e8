"""A face is found without any file, and lands upright at its place in the crop; without one the picture stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from handler.pixels.faces import FACE_SIDE, TEMPLATE, face_crop, find_face
from tests.handler.pixels.drawn_face import EYES, drawn_face

PLACES = {
    "in the middle": ((400, 500), (250, 190), 1.0),
    "small, to the side": ((400, 500), (150, 260), 0.7),
    "in a large picture": ((1200, 1500), (800, 500), 3.0),
}


@pytest.mark.parametrize("label", PLACES)
def test_eyes_are_found_where_they_are(label: str) -> None:
    (height, width), middle, size = PLACES[label]
    found = find_face(drawn_face(height, width, middle, size))
    drawn = np.array(middle) + size * np.array(EYES)
    assert found is not None
    np.testing.assert_allclose(found, drawn, atol=20 * size)


def test_the_largest_of_two_is_taken() -> None:
    both = np.concatenate([drawn_face(middle=(250, 190), size=0.6), drawn_face()], axis=1)
    found = find_face(both)
    assert found is not None
    assert (found[:, 0] > 600).all()


def test_the_crop_has_the_face_where_the_adapter_wants_it() -> None:
    marks = np.array([(-32, -8), (32, -8), (1, 30), (-28, 60), (29, 60)], np.float32)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]], np.float32)
    picture = np.zeros((300, 400, 3), np.uint8)
    places = (marks @ turn.T * 0.9 + (210, 150)).astype(np.float32)
    for x, y in places:
        cv2.circle(picture, (round(float(x)), round(float(y))), 3, (0, 255, 0), -1)
    crop = face_crop(picture, lambda pixels: places)
    assert crop.shape == (FACE_SIDE, FACE_SIDE, 3)
    for x, y in TEMPLATE[:2]:
        assert crop[int(y) - 12 : int(y) + 12, int(x) - 12 : int(x) + 12, 1].max() == 255


def test_two_marks_are_met_exactly() -> None:
    eyes = np.array([(100, 120), (140, 100)], np.float32)
    picture = np.zeros((200, 200, 3), np.uint8)
    for x, y in eyes.astype(int):
        picture[y - 2 : y + 3, x - 2 : x + 3] = 255
    crop = face_crop(picture, lambda pixels: eyes)
    for x, y in TEMPLATE[:2].astype(int):
        assert crop[y, x].min() > 200


@pytest.mark.parametrize("shape", [(300, 300, 3), (1, 1, 3), (8, 900, 3)])
def test_without_a_face_the_picture_is_taken_whole(shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(3).integers(100, 140, shape, np.uint8)
    assert face_crop(picture, find_face) is picture


def test_marks_that_are_one_point_are_no_face() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    assert face_crop(picture, lambda pixels: np.zeros((2, 2), np.float32)) is picture
