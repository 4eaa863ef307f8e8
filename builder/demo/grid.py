"""A grid of sampled pictures, for a look and for the README."""

from __future__ import annotations

from PIL import Image

from builder.demo.networks import Networks
from builder.demo.sampling import SPEED, Mode
from builder.demo.score import pictures

CAPTIONS = (
    "a red circle on a blue background",
    "a green star on a white background",
    "a yellow square on a purple background",
    "a black triangle on an orange background",
    "a cyan circle on a brown background",
    "a white ring on a green background",
    "a purple circle on a black background",
    "a pink cross on a gray background",
    "an orange circle on a pink background",
    "a blue square on a yellow background",
    "a white circle on a red background",
    "a green circle on a cyan background",
)
COLUMNS = 4
TILE = 192
GAP = 4


def grid(networks: Networks, width: int = 512, height: int = 512, seed: int = 1, mode: Mode = SPEED) -> Image.Image:
    """Pictures of `CAPTIONS`, four in a row, reduced to tiles of `TILE` pixels height."""
    tile_width = round(TILE * width / height)
    rows = -(-len(CAPTIONS) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (tile_width + GAP) - GAP, rows * (TILE + GAP) - GAP), "white")
    for i, picture in enumerate(pictures(networks, list(CAPTIONS), width, height, seed, mode)):
        place = ((i % COLUMNS) * (tile_width + GAP), (i // COLUMNS) * (TILE + GAP))
        sheet.paste(picture.resize((tile_width, TILE), Image.Resampling.LANCZOS), place)
    return sheet
