"""Hostile files end in the right error or in a picture, never in a dead worker; and the next picture decodes."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import numpy as np
import pytest

from handler.media.decode import decode
from handler.media.decode_protocol import MAX_PIXELS, MAX_SIDE
from schemas.errors import ImageLoadError, ImageTooLarge, UnsupportedImageFormat

from .hostile_images import NAMES, hostile
from .image_files import OTHER_FORMATS, chunk_edges, pattern, save

LOC = ("body", "image_url")
PIXELS = pattern()
GOOD = save(PIXELS, "PNG")
HEAVY = (
    "1-bit 13377 x 13377",
    "strip 1 x 60,000,000",
    "RGBA 9459 x 9459",
    "largest RGBA, 16 bit",
    "largest grey, 16 bit, keyed",
    "1 GiB behind 100 x 100",
    "iCCP of 300 MB",
    "WebP canvas of 16384 x 16384",
)
KINDS = ("PNG", "JPEG", "WEBP")


def outcome(data: bytes) -> type[Exception] | None:
    try:
        image = decode(data, LOC)
    except (ImageLoadError, ImageTooLarge, UnsupportedImageFormat) as error:
        return type(error) if error.detail[0]["loc"] == list(LOC) else None
    return None if image.mode in ("RGB", "RGBA") else AssertionError


def assert_still_working() -> None:
    np.testing.assert_array_equal(np.asarray(decode(GOOD, LOC)), PIXELS)


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_file(name):
    data, expected = hostile(name)
    assert len(data) < 20 * 2**20
    assert outcome(data) is expected
    assert_still_working()


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_other_formats_are_unsupported_whatever_they_are_called(name):
    with pytest.raises(UnsupportedImageFormat) as refusal:
        decode(OTHER_FORMATS[name], LOC)
    (detail,) = refusal.value.detail
    assert detail["type"] == "unsupported_image_format"
    assert detail["ctx"] == {"supported_formats": ["png", "jpeg", "webp"]}
    assert detail["msg"].endswith("Supported formats: png, jpeg, webp")


def test_a_too_large_image_names_the_limits():
    with pytest.raises(ImageTooLarge) as refusal:
        decode(hostile("RGBA 9459 x 9459")[0], LOC)
    limits = {"max_width": MAX_SIDE, "max_height": MAX_SIDE, "max_pixels": MAX_PIXELS}
    assert refusal.value.detail[0]["ctx"] == limits


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_at_every_edge(kind):
    """A file cut at a chunk edge, or a byte beside one, is damaged; only trailing parts may be missed."""
    data = save(PIXELS, kind, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    cuts = {edge + shift for edge in chunk_edges(data) for shift in (-1, 0, 1)} | {1, 2, 8, 12, len(data) // 2}
    outcomes = {cut: outcome(data[:cut]) for cut in sorted(cuts) if 0 <= cut < len(data)}
    assert len(outcomes) > 10
    assert None not in {found for cut, found in outcomes.items() if cut < len(data) // 2}
    assert set(outcomes.values()) <= {None, ImageLoadError, UnsupportedImageFormat}
    assert_still_working()


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files(kind):
    draw = random.Random(kind)
    data = save(PIXELS, kind, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0")
    for _ in range(80):
        mutant = bytearray(data)
        for _ in range(draw.randint(1, 8)):
            mutant[draw.randrange(len(mutant))] = draw.choice((0, 0xFF, 0x7F, 0x80, draw.randrange(256)))
        outcome(bytes(mutant))
    assert_still_working()


def test_memory_of_worker_and_decoder_stays_bounded():
    """The heaviest files, in a fresh worker; ru_maxrss of it and of its descendants, in KiB on Linux."""
    script = (
        "import json, resource, sys\n"
        "from handler.media import decode as media\n"
        "from tests.handler.media.hostile_images import hostile\n"
        "media.warm_up()\n"
        "files = [hostile(name)[0] for name in json.loads(sys.argv[1])]\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for data in files:\n"
        "    try: media.decode(data, ('x',))\n"
        "    except Exception: pass\n"
        "media._decoder.close()\n"
        "own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before\n"
        "print(json.dumps([own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))"
    )
    done = subprocess.run([sys.executable, "-c", script, json.dumps(HEAVY)], capture_output=True, text=True, check=True)
    worker, decoder = json.loads(done.stdout)
    image = MAX_PIXELS * 4 // 1024
    assert worker < 2 * image + 20 * 1024
    assert 20 * 1024 < decoder < 400 * 1024
