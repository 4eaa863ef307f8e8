"""A drawn face, for FaceSwap: hair, skin, eyes and mouth in any colours, from the front."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from builder.demo.captions import MIN_COLOUR_DISTANCE
from builder.demo.world import COLOURS, colour_distance


@dataclass(frozen=True)
class Face:
    """Colours by their names in `builder.demo.world`."""

    skin: str
    ground: str
    features: str


def random_face(rng: random.Random) -> Face:
    """Colours that are easy to tell apart."""
    skin = rng.choice(tuple(COLOURS))
    others = [name for name in COLOURS if colour_distance(name, skin) > MIN_COLOUR_DISTANCE]
    ground, features = rng.sample(others, 2)
    return Face(skin, ground, features)


def draw_face(face: Face, side: int, supersample: int = 3) -> Image.Image:
    """An RGB square that the face fills: the round head, two eyes and a mouth."""
    big = side * supersample
    picture = Image.new("RGB", (big, big), COLOURS[face.ground])
    pen = ImageDraw.Draw(picture)
    for x, y, width, height in ((0.5, 0.5, 0.72, 0.8),):
        pen.ellipse(_box(x, y, width, height, big), fill=COLOURS[face.skin])
    for x, y, width, height in ((0.36, 0.42, 0.13, 0.13), (0.64, 0.42, 0.13, 0.13), (0.5, 0.7, 0.28, 0.09)):
        pen.ellipse(_box(x, y, width, height, big), fill=COLOURS[face.features])
    return picture if supersample == 1 else picture.reduce(supersample)


def _box(x: float, y: float, width: float, height: float, side: int) -> tuple[float, float, float, float]:
    return (x - width / 2) * side, (y - height / 2) * side, (x + width / 2) * side, (y + height / 2) * side
