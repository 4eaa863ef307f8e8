"""Reads a picture of the drawn world by plain geometry: background, shapes, their colours and places.

Pixels get the nearest named colour; what differs from the border is foreground; a connected part of it is a
shape, named by the silhouette that overlaps it best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image

from builder.demo.world import COLOURS, SHAPES, Shape, mask

SHORT_SIDE = 96  # pictures are read at this size
BORDER = 0.03
BACKGROUND_SHARE = 0.08  # of the border, for a colour to count as background
FOREGROUND_DISTANCE = 55.0
SMALLEST = 0.006  # of the picture, for a part to count as a shape
TEMPLATE = 40
NAMES = tuple(COLOURS)
PALETTE = np.array(list(COLOURS.values()), dtype=np.float32)


@dataclass(frozen=True)
class Seen:
    """A shape found: centre as parts of width and height, area as a part of the picture."""

    kind: str
    colour: str
    x: float
    y: float
    area: float


@dataclass(frozen=True)
class Reading:
    """What a picture shows; `backgrounds` by falling share, `shapes` by falling area."""

    backgrounds: tuple[str, ...]
    shapes: tuple[Seen, ...]

    @property
    def background(self) -> str:
        """The commonest colour along the border."""
        return self.backgrounds[0]


def read(picture: Image.Image) -> Reading:
    """Read an RGB picture of any size."""
    scale = SHORT_SIDE / min(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    pixels = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BOX), dtype=np.float32)
    labels = nearest_colours(pixels)
    backgrounds = _backgrounds(labels)
    foreground = _foreground(pixels, labels, backgrounds)
    shapes = [shape for part in parts(foreground) if (shape := _shape(part, labels)) is not None]
    names = tuple(NAMES[i] for i in backgrounds)
    return Reading(names, tuple(sorted(shapes, key=lambda shape: -shape.area)))


def nearest_colours(pixels: np.ndarray) -> np.ndarray:
    """Index into `NAMES` of the nearest named colour, (h, w), for pixels (h, w, 3) in 0..255."""
    return np.square(pixels[:, :, None] - PALETTE).sum(-1).argmin(-1)


def colour_shares(picture: Image.Image) -> dict[str, float]:
    """Share of the picture's pixels per named colour."""
    labels = nearest_colours(np.asarray(picture.convert("RGB").reduce(4), dtype=np.float32))
    counts = np.bincount(labels.ravel(), minlength=len(NAMES)) / labels.size
    return dict(zip(NAMES, counts.tolist(), strict=True))


def _border(values: np.ndarray) -> np.ndarray:
    """Values along the picture's edge, (n, ...)."""
    edge = max(1, round(min(values.shape[:2]) * BORDER))
    inner = np.zeros(values.shape[:2], dtype=bool)
    inner[edge:-edge, edge:-edge] = True
    return values[~inner]


def _backgrounds(labels: np.ndarray) -> list[int]:
    border = _border(labels)
    shares = np.bincount(border, minlength=len(NAMES)) / border.size
    common = [int(i) for i in np.argsort(-shares) if shares[i] >= BACKGROUND_SHARE]
    return common or [int(shares.argmax())]


def _foreground(pixels: np.ndarray, labels: np.ndarray, backgrounds: list[int]) -> np.ndarray:
    """Where the picture is not background, (h, w)."""
    if len(backgrounds) == 1:
        ground = np.median(_border(pixels), axis=0)
        return np.linalg.norm(pixels - ground, axis=-1) > FOREGROUND_DISTANCE
    return ~np.isin(labels, backgrounds)


def parts(region: np.ndarray) -> Iterator[np.ndarray]:
    """Connected parts (4 neighbours) of a boolean picture that are large enough to be shapes."""
    numbers = np.where(region, np.arange(1, region.size + 1).reshape(region.shape), 0)
    while True:
        grown = np.pad(numbers, 1)
        neighbours = (grown[:-2, 1:-1], grown[2:, 1:-1], grown[1:-1, :-2], grown[1:-1, 2:])
        largest = np.where(region, np.maximum.reduce((numbers, *neighbours)), 0)
        if np.array_equal(largest, numbers):
            break
        numbers = largest
    values, counts = np.unique(numbers[numbers > 0], return_counts=True)
    for value in values[counts >= SMALLEST * region.size]:
        yield numbers == value


def _shape(part: np.ndarray, labels: np.ndarray) -> Seen | None:
    """The shape that fills a part: its commonest colour and the silhouette of that colour."""
    colour = int(np.bincount(labels[part]).argmax())
    body = max(parts(part & (labels == colour)), key=np.sum, default=None)
    if body is None:
        return None
    rows, columns = np.nonzero(body)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    height, width = body.shape
    return Seen(
        silhouette_kind(body[top:bottom, left:right]),
        NAMES[colour],
        float((left + right) / 2 / width),
        float((top + bottom) / 2 / height),
        float(body.mean()),
    )


def silhouette_kind(body: np.ndarray) -> str:
    """Name of the shape whose silhouette has the largest overlap with a tightly cut one."""
    image = Image.fromarray(body.astype(np.uint8) * 255).resize((TEMPLATE, TEMPLATE), Image.Resampling.BOX)
    filled = np.asarray(image) > 127
    return max(SHAPES, key=lambda kind: _overlap(filled, template(kind)))


@lru_cache
def template(kind: str) -> np.ndarray:
    """A shape's silhouette cut tightly, boolean (TEMPLATE, TEMPLATE)."""
    image = mask(Shape(kind, "red", diameter=0.9), 8 * TEMPLATE, 8 * TEMPLATE)
    return np.asarray(image.crop(image.getbbox()).resize((TEMPLATE, TEMPLATE), Image.Resampling.BOX)) > 127


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union."""
    return float((first & second).sum() / max(1, (first | second).sum()))
