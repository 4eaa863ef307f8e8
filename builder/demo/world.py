"""The world the demo model knows: coloured shapes on coloured backgrounds, drawn at any size.

A `Scene` says what is to be seen in units of the picture (0..1), so the same scene can be drawn at
512x512, 1152x896 or straight at the latent size. `docs/demo-world.md` describes it in words.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (222, 30, 36),
    "green": (28, 158, 58),
    "blue": (30, 64, 222),
    "yellow": (250, 222, 30),
    "orange": (248, 134, 22),
    "purple": (128, 36, 176),
    "pink": (250, 150, 196),
    "cyan": (42, 208, 228),
    "brown": (120, 72, 34),
    "black": (14, 14, 16),
    "white": (244, 244, 244),
    "gray": (130, 130, 132),
}
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
STYLES = ("flat", "outlined", "soft", "glowing")
BACKGROUNDS = ("plain", "gradient", "striped", "checkered", "dotted")

# Diameter of a shape as a part of the picture's shorter side.
SIZES: dict[str, float] = {"small": 0.28, "medium": 0.46, "large": 0.68}

# Centre of a shape as parts of the picture's width and height.
POSITIONS: dict[str, tuple[float, float]] = {
    "center": (0.5, 0.5),
    "left": (0.25, 0.5),
    "right": (0.75, 0.5),
    "top": (0.5, 0.25),
    "bottom": (0.5, 0.75),
    "top left": (0.25, 0.25),
    "top right": (0.75, 0.25),
    "bottom left": (0.25, 0.75),
    "bottom right": (0.75, 0.75),
}

PATTERN_CELLS = 8


@dataclass(frozen=True)
class Shape:
    """One shape: `x`, `y` centre as parts of width and height, `diameter` as a part of the shorter side."""

    kind: str
    colour: str
    x: float = 0.5
    y: float = 0.5
    diameter: float = SIZES["medium"]
    style: str = "flat"


@dataclass(frozen=True)
class Background:
    """A plain colour, or two colours in one of the `BACKGROUNDS` patterns."""

    colour: str
    kind: str = "plain"
    second: str | None = None


@dataclass(frozen=True)
class Scene:
    """Everything needed to draw one picture; later shapes lie over earlier ones."""

    background: Background
    shapes: tuple[Shape, ...] = field(default_factory=tuple)


def draw(scene: Scene, width: int, height: int, supersample: int = 3) -> Image.Image:
    """Draw `scene` as an RGB picture of `width` x `height` pixels, anti-aliased by `supersample`."""
    big = (width * supersample, height * supersample)
    picture = draw_background(scene.background, *big)
    for shape in scene.shapes:
        _paint(picture, shape, scene.background)
    return picture if supersample == 1 else picture.reduce(supersample)


def draw_background(background: Background, width: int, height: int) -> Image.Image:
    """Draw the background alone."""
    first = COLOURS[background.colour]
    if background.kind == "plain":
        return Image.new("RGB", (width, height), first)
    second = COLOURS[background.second or background.colour]
    weight = Image.fromarray(_pattern(background.kind, width, height))
    return Image.composite(Image.new("RGB", (width, height), second), Image.new("RGB", (width, height), first), weight)


def _pattern(kind: str, width: int, height: int) -> np.ndarray:
    """How much of the second colour each pixel gets, uint8 (height, width)."""
    cell = min(width, height) / PATTERN_CELLS
    column, row = np.arange(width) / cell, np.arange(height)[:, None] / cell
    if kind == "gradient":
        weight = np.broadcast_to(np.linspace(0, 1, height)[:, None], (height, width))
    elif kind == "striped":
        weight = np.broadcast_to(np.floor(column) % 2, (height, width))
    elif kind == "checkered":
        weight = (np.floor(column) + np.floor(row)) % 2
    elif kind == "dotted":
        weight = (np.hypot(column % 1 - 0.5, row % 1 - 0.5) < 0.3).astype(float)
    else:
        raise ValueError(f"unknown background kind: {kind}")
    return np.round(weight * 255).astype(np.uint8)


def mask(shape: Shape, width: int, height: int) -> Image.Image:
    """The shape's silhouette, mode L, 255 inside."""
    image = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(image)
    cx, cy, radius = shape.x * width, shape.y * height, shape.diameter * min(width, height) / 2
    if shape.kind in ("circle", "ring"):
        pen.ellipse((cx - radius, cy - radius, cx + radius, cy + radius), fill=255)
        if shape.kind == "ring":
            inner = radius * 0.55
            pen.ellipse((cx - inner, cy - inner, cx + inner, cy + inner), fill=0)
    else:
        pen.polygon([(cx + radius * x, cy + radius * y) for x, y in outline(shape.kind)], fill=255)
    return image


def outline(kind: str) -> list[tuple[float, float]]:
    """Corners of a polygonal shape in units of its radius, y pointing down."""
    if kind == "square":
        return [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)]
    if kind == "triangle":
        return [(0, -0.95), (1, 0.8), (-1, 0.8)]
    if kind == "star":
        return [_polar(1.05 if i % 2 == 0 else 0.42, i * math.pi / 5) for i in range(10)]
    if kind == "cross":
        a, b = 0.3, 0.95
        arm = [(-a, -b), (a, -b), (a, -a)]
        return [turned for quarter in range(4) for turned in _quarter_turns(arm, quarter)]
    raise ValueError(f"unknown shape: {kind}")


def _quarter_turns(points: list[tuple[float, float]], quarters: int) -> list[tuple[float, float]]:
    """Points turned clockwise by so many quarters."""
    for _ in range(quarters):
        points = [(-y, x) for x, y in points]
    return points


def _polar(radius: float, angle: float) -> tuple[float, float]:
    return radius * math.sin(angle), -radius * math.cos(angle)


def outline_colour(shape: Shape, background: Background) -> RGB:
    """Black, unless the shape or its surroundings are black already."""
    return COLOURS["white" if "black" in (shape.colour, background.colour) else "black"]


def _paint(picture: Image.Image, shape: Shape, background: Background) -> None:
    silhouette = mask(shape, *picture.size)
    pixels = shape.diameter * min(picture.size)
    colour = COLOURS[shape.colour]
    if shape.style == "outlined":
        _outline(picture, silhouette, pixels, outline_colour(shape, background))
    elif shape.style == "glowing":
        _glow(picture, silhouette, pixels, colour)
    elif shape.style == "soft":
        silhouette = silhouette.filter(ImageFilter.GaussianBlur(pixels * 0.035))
    elif shape.style != "flat":
        raise ValueError(f"unknown style: {shape.style}")
    picture.paste(colour, mask=silhouette)


def _outline(picture: Image.Image, silhouette: Image.Image, pixels: float, colour: RGB) -> None:
    """Lay a band of `colour` around the silhouette, 7 % of the diameter wide."""
    band = silhouette.filter(ImageFilter.GaussianBlur(pixels * 0.05)).point(lambda v: 255 if v > 12 else 0)
    picture.paste(colour, mask=band)


def _glow(picture: Image.Image, silhouette: Image.Image, pixels: float, colour: RGB) -> None:
    """Lay a halo of the shape's colour, half whitened, around the silhouette."""
    halo = silhouette.filter(ImageFilter.GaussianBlur(pixels * 0.12))
    halo = ImageChops.lighter(halo, silhouette).point(lambda v: min(255, v * 2) * 4 // 5)
    picture.paste(tuple((c + 255) // 2 for c in colour), mask=halo)


def colour_distance(first: str, second: str) -> float:
    """Euclidean distance of two named colours in RGB, 0..441."""
    return math.dist(COLOURS[first], COLOURS[second])
