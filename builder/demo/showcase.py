"""One picture of what is done with pictures: what goes in beside what comes out, by a whole worker."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from builder.demo.captions import plain
from builder.demo.face import Face, draw_face
from builder.demo.score_features import BARE
from builder.demo.worker import LocalWorker, data_uri
from builder.demo.world import Background, Scene, Shape, draw

SIDE = 512
TILE, GAP, TITLE = 150, 10, 34
ACROSS = 2
"""Pairs in a row."""


@dataclass(frozen=True)
class Shown:
    """A feature's name, what it was given, and what the worker is asked."""

    title: str
    given: Image.Image
    asked: dict[str, Any]

    def made(self, worker: LocalWorker, common: dict[str, Any]) -> Image.Image:
        """The worker's picture. common: fields of all requests."""
        return worker.picture(**common, **self.asked)


@dataclass(frozen=True)
class Told(Shown):
    """A feature that answers with words; they are written on a tile."""

    def made(self, worker: LocalWorker, common: dict[str, Any]) -> Image.Image:
        words = textwrap.fill(worker.output(**self.asked)["prompt"], 16)
        tile = Image.new("RGB", (TILE, TILE), "white")
        ImageDraw.Draw(tile).multiline_text((6, 6), words, "black", ImageFont.load_default(16), spacing=6)
        return tile


def questions() -> Iterator[Shown]:
    """Everything that is shown, in order."""
    circle = draw(plain("red", "circle", "blue").scene, SIDE, SIDE)
    star = draw(Scene(Background("white"), (Shape("star", "green", 0.3, 0.4),)), SIDE, SIDE)
    yield from _edits(circle)
    yield from _hints(star)
    ring = draw(plain("yellow", "ring", "purple").scene, SIDE, SIDE)
    yield _slot("ImagePrompt, without words", "ImagePrompt", ring, "")
    face = Face(ground="green", skin="orange", features="black")
    yield _slot('FaceSwap, "a face"', "FaceSwap", draw_face(face, SIDE), "a face")
    yield Told("Describe", ring, {"endpoint": "describe", "image_url": data_uri(ring)})


def _edits(own: Image.Image) -> Iterator[Shown]:
    uov = {"endpoint": "upscale-or-vary", "uov_image_url": data_uri(own), "prompt": "a red circle on a blue background"}
    yield Shown("Vary (Subtle)", own, {**uov, "uov_method": "Vary (Subtle)"})
    yield Shown("Vary (Strong)", own, {**uov, "uov_method": "Vary (Strong)"})
    small = own.resize((SIDE // 8, SIDE // 8), Image.Resampling.BOX)
    fast = {**uov, "uov_image_url": data_uri(small), "uov_method": "Upscale (Fast 2x)"}
    yield Shown("Upscale, from 64 pixels", small, fast)
    hole = Image.new("L", own.size, 0)
    ImageDraw.Draw(hole).rectangle((100, 100, SIDE - 100, SIDE - 100), fill=255)
    inpaint = {"endpoint": "inpaint", "inpaint_image_url": data_uri(own), **BARE}
    masked = Image.composite(Image.new("RGB", own.size, "white"), own, hole)
    text = "a yellow star on a blue background"
    yield Shown(f'Inpaint, "{text}"', masked, {**inpaint, "mask_image_url": data_uri(hole), "prompt": text})
    sides = {"outpaint_selections": ["Left", "Right"], "prompt": "a red circle on a blue background"}
    yield Shown("Outpaint, left and right", own, {**inpaint, **sides})


def _hints(own: Image.Image) -> Iterator[Shown]:
    text = "a red shape on a yellow background"
    yield _slot(f'PyraCanny, "{text}"', "PyraCanny", own, text)
    yield _slot(f'CPDS, "{text}"', "CPDS", own, text)


def _slot(title: str, kind: str, own: Image.Image, text: str) -> Shown:
    slot = {"type": kind, "image_url": data_uri(own), "stop_at": 1.0}
    asked = {"endpoint": "image-prompt", "image_prompt_1": slot, "aspect_ratio": f"{SIDE}x{SIDE}", "prompt": text}
    return Shown(title, own, asked)


def sheet(worker: LocalWorker, performance: str = "Extreme Speed", seed: int = 1) -> Image.Image:
    """All pairs on one white sheet."""
    common = {"performance": performance, "seed": seed, "styles": [], "loras": []}
    pairs = [(shown, shown.made(worker, common)) for shown in questions()]
    down = -(-len(pairs) // ACROSS)
    width, height = 2 * TILE + 3 * GAP, TILE + TITLE + GAP
    whole = Image.new("RGB", (ACROSS * width, down * height + GAP), "white")
    for number, (shown, made) in enumerate(pairs):
        left, top = number % ACROSS * width + GAP, number // ACROSS * height + GAP
        ImageDraw.Draw(whole).text((left, top), shown.title, "black", ImageFont.load_default(14))
        for place, picture in enumerate((shown.given, made)):
            whole.paste(_tile(picture), (left + place * (TILE + GAP), top + TITLE - GAP))
    return whole


def _tile(picture: Image.Image) -> Image.Image:
    """A picture of any shape in the middle of a grey square."""
    square = Image.new("RGB", (TILE, TILE), "gainsboro")
    scale = TILE / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    fitted = picture.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    square.paste(fitted, ((TILE - size[0]) // 2, (TILE - size[1]) // 2))
    return square
