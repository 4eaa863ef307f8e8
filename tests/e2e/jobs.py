"""Small requests, and the pictures in the answers to them."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

from PIL import Image

from tests.support.client import Record

Fields = dict[str, Any]

ERROR_LINE = re.compile(r"[A-Z][A-Z_]+: \S.*", re.DOTALL)
"""The one string form of every failure: `CODE: text`."""

_DATA_URI = re.compile(r"data:[a-z/]+;base64,([A-Za-z0-9+/=]+)")


def small(steps: int = 4, **fields: Any) -> Fields:
    """A picture of 128x128 in `steps` steps with a fixed seed, returned inline. `advanced` is merged."""
    advanced = {"overwrite_step": steps, **fields.pop("advanced", {})}
    request: Fields = {
        "prompt": "a red circle on a blue background",
        "performance": "Speed",
        "styles": [],
        "loras": [],
        "aspect_ratio": "128x128",
        "seed": 7,
        "output_format": "png",
        "sync_mode": True,
    }
    return {**request, **fields, "advanced": advanced}


def endless(**fields: Any) -> Fields:
    """A job of far more steps than a test would wait for."""
    return small(200, num_images=4, advanced={"num_images": 32}, **fields)


def data(uri: str) -> bytes:
    """The bytes of a base64 data URI."""
    match = _DATA_URI.fullmatch(uri)
    assert match is not None, f"Not a data URI: {uri[:80]}"
    return base64.b64decode(match[1], validate=True)


def picture(uri: str) -> Image.Image:
    image = Image.open(io.BytesIO(data(uri)))
    image.load()
    return image


def pixels(record: Record) -> list[bytes]:
    """The decoded pixels of every picture of a completed job."""
    assert record["status"] == "COMPLETED", record.get("error")
    return [picture(image["url"]).convert("RGB").tobytes() for image in record["output"]["images"]]


def without_pictures(body: Any) -> str:
    """A posted body as text, its data URIs cut out."""
    return _DATA_URI.sub("data:", json.dumps(body, ensure_ascii=False))
