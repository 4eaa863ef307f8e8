"""The catalogue's face detector: its file's layout, anchors in the network's order, the best face scaled back.

A bias makes one anchor the surest, so that what is found is known without trained weights.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from handler.engine.control.files import ControlNetFiles
from handler.engine.control.models import ControlModels
from handler.engine.control.retinaface import SEARCHED_SIDE, FaceDetector, RetinaFace, anchors, load_face_detector
from handler.engine.shelf import Shelf
from handler.engine.weights import WeightsError
from handler.pixels.faces import find_face
from schemas.catalogue import by_name
from tests.handler.pixels.drawn_face import drawn_face

FILE = "detection_Resnet50_Final.pth"


class Sure(RetinaFace):
    """Sees the same in every picture: at one anchor a face, its marks a known step away."""

    def __init__(self, anchor: int, score: float) -> None:
        super().__init__()
        self._sure = anchor, score

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores, marks = super().forward(pixels)
        anchor, score = self._sure
        scores = torch.zeros_like(scores)
        scores[anchor] = score
        steps = torch.arange(10.0).view(5, 2)
        return scores, steps.expand_as(marks)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return drawn_face(100, 130, (60, 50), 0.3)


def test_the_network_is_as_large_as_its_file() -> None:
    """A pickle adds a name and a place, some 200 bytes, to each tensor."""
    stored = by_name(f"controlnet/{FILE}")
    assert stored is not None
    state = RetinaFace().state_dict()
    held = sum(value.numel() * value.element_size() for value in state.values())
    assert 100 * len(state) < (stored.bytes or 0) - held < 300 * len(state)


def test_there_is_one_anchor_for_each_score(picture: np.ndarray) -> None:
    scores, marks = RetinaFace().eval()(torch.zeros(1, 3, *picture.shape[:2]))
    places = anchors(*picture.shape[:2])
    assert len(scores) == len(marks) == len(places) == 2 * (13 * 17 + 7 * 9 + 4 * 5)
    assert places[0].tolist() == [4.0, 4.0, 16.0]
    assert places[1].tolist() == [4.0, 4.0, 32.0]
    assert places[2].tolist() == [12.0, 4.0, 16.0]
    assert places[-1].tolist() == [144.0, 112.0, 512.0]


@torch.no_grad()
def test_the_surest_face_is_told_in_pixels_of_the_picture(picture: np.ndarray) -> None:
    found = FaceDetector(Sure(3, 0.99).eval())(picture)
    steps = np.arange(10.0).reshape(5, 2)
    np.testing.assert_allclose(found, steps * 0.1 * 32 + (12, 4), rtol=1e-5)
    large = np.zeros((64, 2 * SEARCHED_SIDE, 3), np.uint8)
    np.testing.assert_allclose(FaceDetector(Sure(3, 0.99).eval())(large), 2 * found, rtol=1e-5)
    assert FaceDetector(Sure(3, 0.96).eval())(picture) is None


def test_without_its_file_the_other_detector_serves(tmp_path: Path) -> None:
    models = ControlModels(None, (tmp_path,), ControlNetFiles(), Shelf(0))  # type: ignore[arg-type]
    face = drawn_face()
    np.testing.assert_array_equal(models.find_face(face), find_face(face))
    (tmp_path / "controlnet").mkdir()
    (tmp_path / "controlnet" / FILE).write_bytes(b"x")
    with pytest.raises(WeightsError, match="not the file of the catalogue"):
        models.find_face(face)
    with pytest.raises(WeightsError, match=FILE):
        load_face_detector(tmp_path / "controlnet" / FILE)
