"""Scores of what is done with a picture, taken through a whole worker and read from pixels.

Each feature is asked the same question for a number of drawn pictures; a score is the share of right answers, 0..1,
unless its name says otherwise.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from statistics import mean
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageDraw

from builder.demo.captions import MIN_COLOUR_DISTANCE, Example, plain, simple
from builder.demo.face import draw_face, random_face
from builder.demo.judge import Seen, colour_shares, read
from builder.demo.worker import LocalWorker, data_uri
from builder.demo.world import POSITIONS, colour_distance, draw

SIDE = 512
FEATHER = 64
"""How far from a mask's edge what is repainted may still be blended in, pixels."""
EDGE_SIDE, EDGE_REACH, EDGE_BLUR = 128, 5, 1.4
"""Pixels: the picture's side when edges are sought, how wide they count, and the sigma of the Gaussian before."""

BARE = {"override_inpaint_options": True, "inpaint_engine": "None"}
"""The inpaint engines' files are for models of SDXL's size."""

Answers = dict[str, float]
"""One picture's answers: 1 right, 0 wrong, or a measure."""


def score(worker: LocalWorker, feature: str, count: int, **settings: Any) -> Answers:
    """The means of `count` pictures' answers. settings: fields of all requests."""
    answers = list(FEATURES[feature](worker, random.Random(f"feature {feature}"), count, settings))
    return {name: round(mean(answer[name] for answer in answers), 3) for name in answers[0]}


def vary(
    method: str, worker: LocalWorker, rng: random.Random, count: int, settings: dict[str, Any]
) -> Iterator[Answers]:
    """A drawn picture and its own caption: what it shows stays, and yet it is another picture."""
    for seed in range(count):
        example = simple(rng)
        own = draw(example.scene, SIDE, SIDE)
        asked = {"endpoint": "upscale-or-vary", "uov_image_url": data_uri(own), "uov_method": method}
        made = worker.picture(**settings, **asked, prompt=example.caption, seed=seed)
        shown = _shown(example, made)
        yield shown | {"PSNR to the original": _psnr(made.resize(own.size, Image.Resampling.BOX), own)}


def inpaint(worker: LocalWorker, rng: random.Random, count: int, settings: dict[str, Any]) -> Iterator[Answers]:
    """The shape is masked and another one asked for: it is there, and nothing else has changed."""
    for seed in range(count):
        before = simple(rng)
        after = _another(rng, before.scene.background.colour)
        own = draw(before.scene, SIDE, SIDE)
        hole = Image.new("L", own.size, 0)
        corner = SIDE // 5
        ImageDraw.Draw(hole).rectangle((corner, corner, SIDE - corner, SIDE - corner), fill=255)
        asked = {"endpoint": "inpaint", "inpaint_image_url": data_uri(own), "mask_image_url": data_uri(hole)}
        made = worker.picture(**settings, **asked, **BARE, prompt=after.caption, seed=seed)
        outside = np.ones((SIDE, SIDE), bool)
        outside[corner - FEATHER : SIDE - corner + FEATHER, corner - FEATHER : SIDE - corner + FEATHER] = False
        yield _shown(after, made) | {"PSNR outside": _psnr(made, own, outside)}


def outpaint(worker: LocalWorker, rng: random.Random, count: int, settings: dict[str, Any]) -> Iterator[Answers]:
    """More of the background on the right; what was there stays."""
    for seed in range(count):
        example = simple(rng)
        own = draw(example.scene, SIDE, SIDE)
        asked = {"endpoint": "inpaint", "inpaint_image_url": data_uri(own), "outpaint_selections": ["Right"]}
        made = worker.picture(**settings, **asked, **BARE, prompt=example.caption, seed=seed)
        new = colour_shares(made.crop((SIDE + FEATHER, 0, *made.size)))
        kept = (0, 0, SIDE - FEATHER, SIDE)
        yield {
            "larger": float(made.width > SIDE and made.height == SIDE),
            "background goes on": float(max(new, key=new.__getitem__) == example.scene.background.colour),
            "PSNR of what was there": _psnr(made.crop(kept), own.crop(kept)),
        }


def control(
    kind: str, worker: LocalWorker, rng: random.Random, count: int, settings: dict[str, Any]
) -> Iterator[Answers]:
    """A drawn scene says where, the prompt in which colours; "shape" is left for the picture to say."""
    for seed in range(count):
        layout, colours = _somewhere(simple(rng), rng), simple(rng)
        shape, ground = colours.scene.shapes[0].colour, colours.scene.background.colour
        hint = draw(layout.scene, SIDE, SIDE)
        wanted = replace(layout.scene, background=colours.scene.background)
        wanted = replace(wanted, shapes=tuple(replace(each, colour=shape) for each in wanted.shapes))
        slot = {"type": kind, "image_url": data_uri(hint), "stop_at": 1.0, "weight": 1.0}
        asked = {"endpoint": "image-prompt", "image_prompt_1": slot, "aspect_ratio": f"{SIDE}x{SIDE}"}
        named = {"shape": layout.scene.shapes[0].kind, "colour": shape, "background": ground}
        text = f"a {shape} shape on a {ground} background"
        made = worker.picture(**settings, **asked, prompt=text, seed=seed)
        yield _shown(Example(text, wanted, named), made) | {"edge IoU": edge_overlap(made, hint)}


def image_prompt(worker: LocalWorker, rng: random.Random, count: int, settings: dict[str, Any]) -> Iterator[Answers]:
    """A picture and no words: its colours are taken over."""
    for seed in range(count):
        example = simple(rng)
        slot = {"type": "ImagePrompt", "image_url": data_uri(draw(example.scene, SIDE, SIDE)), "stop_at": 1.0}
        asked = {"endpoint": "image-prompt", "image_prompt_1": slot, "aspect_ratio": f"{SIDE}x{SIDE}"}
        yield _shown(example, worker.picture(**settings, **asked, seed=seed))


def face_swap(worker: LocalWorker, rng: random.Random, count: int, settings: dict[str, Any]) -> Iterator[Answers]:
    """A drawn face: the colours of skin and background are taken over, and where they are."""
    for seed in range(count):
        face = random_face(rng)
        slot = {"type": "FaceSwap", "image_url": data_uri(draw_face(face, SIDE)), "stop_at": 1.0}
        asked = {"endpoint": "image-prompt", "image_prompt_1": slot, "aspect_ratio": f"{SIDE}x{SIDE}"}
        made = worker.picture(**settings, **asked, prompt="a face", seed=seed)
        middle = colour_shares(made.crop((SIDE // 3, SIDE // 6, SIDE * 2 // 3, SIDE * 5 // 6)))
        yield {
            "background": float(read(made).background == face.ground),
            "skin": float(max(middle, key=middle.__getitem__) == face.skin),
        }


def upscale(worker: LocalWorker, rng: random.Random, count: int, settings: dict[str, Any]) -> Iterator[Answers]:
    """Twice as large, beside the picture drawn so large and bicubic resampling."""
    for _ in range(count):
        scene = simple(rng).scene
        small, large = draw(scene, SIDE, SIDE), draw(scene, 2 * SIDE, 2 * SIDE)
        asked = {"endpoint": "upscale-or-vary", "uov_image_url": data_uri(small), "uov_method": "Upscale (Fast 2x)"}
        made = worker.picture(**settings, **asked)
        yield {
            "PSNR": _psnr(made.resize(large.size, Image.Resampling.LANCZOS), large),
            "PSNR of bicubic": _psnr(small.resize(large.size, Image.Resampling.BICUBIC), large),
        }


def describe(worker: LocalWorker, rng: random.Random, count: int, settings: dict[str, Any]) -> Iterator[Answers]:
    """The caption of a drawn picture names the shape and its colour."""
    for _ in range(count):
        example = simple(rng)
        picture = data_uri(draw(example.scene, SIDE, SIDE))
        words = worker.output(endpoint="describe", image_url=picture)["prompt"]
        shape = example.scene.shapes[0]
        yield {"colour and shape": float(shape.colour in words and shape.kind in words)}


FEATURES: dict[str, Callable[..., Iterator[Answers]]] = {
    "vary-subtle": partial(vary, "Vary (Subtle)"),
    "vary-strong": partial(vary, "Vary (Strong)"),
    "inpaint": inpaint,
    "outpaint": outpaint,
    "canny": partial(control, "PyraCanny"),
    "cpds": partial(control, "CPDS"),
    "image-prompt": image_prompt,
    "face-swap": face_swap,
    "upscale": upscale,
    "describe": describe,
}


def edge_overlap(made: Image.Image, wanted: Image.Image) -> float:
    """Intersection over union of the edges of both pictures, widened to `EDGE_REACH` of `EDGE_SIDE` pixels."""
    first, second = _edges(made), _edges(wanted)
    return float((first & second).sum() / max(1, (first | second).sum()))


def _edges(picture: Image.Image) -> np.ndarray:
    small = np.asarray(picture.resize((EDGE_SIDE, EDGE_SIDE), Image.Resampling.BOX))
    # Canny's first step (Canny 1986), which OpenCV leaves to its callers; without it grain counts as edges.
    smooth = cv2.GaussianBlur(small, (0, 0), EDGE_BLUR)
    found = np.maximum.reduce([cv2.Canny(np.ascontiguousarray(smooth[..., c]), 40, 100) for c in range(3)])
    return cv2.dilate(found, np.ones((EDGE_REACH, EDGE_REACH), np.uint8)) > 0


def _shown(example: Example, made: Image.Image) -> Answers:
    """Whether background, and colour and kind of the largest shape, are the example's."""
    reading, wanted = read(made), example.scene.shapes[0]
    seen: Seen | None = reading.shapes[0] if reading.shapes else None
    return {
        "background": float(reading.background == example.scene.background.colour),
        "colour": float(seen is not None and seen.colour == wanted.colour),
        "shape": float(seen is not None and seen.kind == wanted.kind),
    }


def _another(rng: random.Random, ground: str) -> Example:
    """A shape whose colour is easy to tell from the background's."""
    shape = simple(rng).scene.shapes[0]
    while colour_distance(shape.colour, ground) <= MIN_COLOUR_DISTANCE:
        shape = simple(rng).scene.shapes[0]
    return plain(shape.colour, shape.kind, ground)


def _somewhere(example: Example, rng: random.Random) -> Example:
    """The example with its shape at any of the named places."""
    x, y = rng.choice(tuple(POSITIONS.values()))
    reach = example.scene.shapes[0].diameter / 2 + 0.02
    inside = {"x": min(max(x, reach), 1 - reach), "y": min(max(y, reach), 1 - reach)}
    moved = replace(example.scene.shapes[0], **inside)
    return replace(example, scene=replace(example.scene, shapes=(moved,)))


def _psnr(made: Image.Image, wanted: Image.Image, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB, at most 99."""
    difference = np.asarray(made, np.float64) - np.asarray(wanted, np.float64)
    error = np.square(difference if where is None else difference[where]).mean()
    return float(min(99.0, 10 * np.log10(255**2 / max(error, 1e-9))))
