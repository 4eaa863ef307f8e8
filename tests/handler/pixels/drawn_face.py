"""A face, drawn."""

from __future__ import annotations

import cv2
import numpy as np

Place = tuple[float, float]

SKIN, HAIR, DARK, WHITE, LIPS = (225, 185, 155), (60, 40, 30), (50, 30, 20), (245, 245, 245), (160, 60, 60)
EYES: tuple[Place, Place] = ((-32, -8), (32, -8))


def drawn_face(height: int = 400, width: int = 500, middle: Place = (250, 190), size: float = 1.0) -> np.ndarray:
    """uint8 [height, width, 3]. middle: between the eyes and the mouth. size: 1 is a face of about 190 pixels."""
    picture = np.full((height, width, 3), (90, 120, 160), np.uint8)

    def blob(place: Place, axes: Place, colour: tuple[int, int, int]) -> None:
        centre = tuple(int(whole + size * part) for whole, part in zip(middle, place, strict=True))
        radii = tuple(int(size * axis) for axis in axes)
        cv2.ellipse(picture, centre, radii, 0, 0, 360, colour, -1, cv2.LINE_AA)

    blob((0, -25), (88, 105), HAIR)
    blob((0, 10), (72, 95), SKIN)
    for eye in EYES:
        blob((eye[0], -28), (22, 6), (90, 60, 40))
        blob(eye, (19, 10), (190, 150, 125))
        blob(eye, (15, 8), WHITE)
        blob(eye, (8, 8), DARK)
        blob((eye[0] / 4.5, 35), (4, 3), (150, 100, 80))
    blob((0, 15), (9, 24), (238, 205, 178))
    blob((0, 60), (26, 8), LIPS)
    blob((0, 57), (24, 2), (110, 30, 30))
    return cv2.GaussianBlur(picture, (0, 0), 1.5 * size)
