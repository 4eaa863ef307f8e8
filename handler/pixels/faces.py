"""Faces cut out of pictures, upright and of one size, for the adapter that was trained on such.

The detector here is Viola and Jones's (2001), with the cascades that OpenCV brings along: it needs no file, finds
upright faces from the front, and their eyes. A better detector gives five marks instead of two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np

FACE_SIDE = 512
TEMPLATE = np.array(
    [(192.98, 239.95), (318.90, 240.19), (256.63, 314.02), (201.26, 371.41), (313.09, 371.15)], np.float32
)
"""Where FFHQ's alignment has the eyes, the nose and the corners of the mouth; left in the picture before right."""
BORDER = (135, 133, 132)
"""Colour of what lies outside of the picture."""

FACES = "haarcascade_frontalface_default.xml"
EYES = "haarcascade_eye.xml"
SEARCHED_SIDE = 640
"""Pictures are made so small for the search; smaller ones stay as they are."""
NEIGHBOURS = 6
SMALLEST_SHARE = 0.08
EYE_PLACES = ((0.31, 0.38), (0.69, 0.38))
"""Where eyes are in a face's box when the eyes themselves are not found."""
EYE_REGION = 0.6

FindFace = Callable[[np.ndarray], np.ndarray | None]
"""uint8 [h, w, 3] -> where the marks of the best face are, float32 [n, 2] as (x, y), n of TEMPLATE's; or None."""


def face_crop(pixels: np.ndarray, find: FindFace) -> np.ndarray:
    """The best face, aligned: uint8 [512, 512, 3]; the whole picture as it is where there is none."""
    marks = find(pixels)
    if marks is None:
        return pixels
    matrix, _ = cv2.estimateAffinePartial2D(marks, TEMPLATE[: len(marks)], method=cv2.LMEDS)
    if matrix is None or not np.isfinite(matrix).all() or not matrix[:, 0].any():
        return pixels
    return cv2.warpAffine(pixels, matrix, (FACE_SIDE, FACE_SIDE), borderMode=cv2.BORDER_CONSTANT, borderValue=BORDER)


def find_face(pixels: np.ndarray) -> np.ndarray | None:
    """The eyes of the largest face: float32 [2, 2]. A `FindFace`."""
    scale = min(1.0, SEARCHED_SIDE / max(pixels.shape[:2]))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    grey = cv2.equalizeHist(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    smallest = max(24, int(SMALLEST_SHARE * min(grey.shape)))
    boxes = _cascade(FACES).detectMultiScale(grey, 1.1, NEIGHBOURS, minSize=(smallest, smallest))
    if not len(boxes):
        return None
    x, y, side, _ = max(boxes, key=lambda box: box[2])
    eyes = _eyes(grey[y : y + int(side * EYE_REGION), x : x + side])
    return (np.add(eyes, (x, y)) / scale).astype(np.float32)


def _eyes(region: np.ndarray) -> np.ndarray:
    """The largest eye of each half of the upper part of a face, in its pixels: [2, 2]."""
    side = region.shape[1]
    boxes = _cascade(EYES).detectMultiScale(region, 1.05, NEIGHBOURS, minSize=(side // 8, side // 8))
    eyes = []
    for half, guess in enumerate(EYE_PLACES):
        own = [box for box in boxes if int(box[0] + box[2] / 2 >= side / 2) == half]
        best = max(own, key=lambda box: box[2], default=None)
        eyes.append(np.multiply(guess, side) if best is None else np.add(best[:2], best[2] / 2))
    return np.array(eyes)


@cache
def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / name))
