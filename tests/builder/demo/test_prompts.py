"""The committed bundle obeys its prompt: pictures of the whole worker, with fal's default styles, read by the judge."""

from __future__ import annotations

import asyncio
import base64
import io

import pytest
from PIL import Image

from builder.demo.judge import Reading, read
from handler.job import Worker


def seen(worker: Worker, prompt: str, size: str) -> Reading:
    body = {"prompt": prompt, "performance": "Extreme Speed", "aspect_ratio": size, "seed": 176400, "loras": []}
    answer = asyncio.run(worker.handle({"id": "job", "input": body | {"sync_mode": True, "output_format": "png"}}))
    picture = base64.b64decode(answer["images"][0]["url"].split(",", 1)[1])
    return read(Image.open(io.BytesIO(picture)))


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ("1024x1024", ("red", "circle", "blue")),
        ("1024x1024", ("yellow", "square", "purple")),
        ("512x512", ("green", "star", "white")),
        ("512x512", ("black", "triangle", "orange")),
        ("512x512", ("white", "ring", "green")),
        ("512x512", ("pink", "cross", "gray")),
    ],
)
def test_a_plain_sentence_is_drawn(demo_worker: Worker, size: str, words: tuple[str, str, str]) -> None:
    colour, kind, background = words
    reading = seen(demo_worker, f"a {colour} {kind} on a {background} background", size)
    assert reading.background == background
    largest = reading.shapes[0]
    assert (largest.colour, largest.kind) == (colour, kind)
    assert abs(largest.x - 0.5) < 0.1
    assert abs(largest.y - 0.5) < 0.1
