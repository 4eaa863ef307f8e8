"""An image may be named by an http(s) URL or a base64 data URI of three types; anything else is refused clearly."""

from __future__ import annotations

import base64
import tracemalloc

import numpy as np
import pytest

from handler.media.fetch import FetchPolicy
from handler.media.source import load_image
from schemas.errors import FileDownloadError, FileTooLarge, ImageLoadError, UnsupportedImageFormat

from .image_files import OTHER_FORMATS, grown, pattern, save
from .servers import answer, serve

LOC = ("body", "inpaint_image_url")
LOCAL = FetchPolicy(allow_private=True)
PIXELS = pattern()
FILE = save(PIXELS, "PNG")
TEXT = base64.b64encode(FILE).decode()


def uri(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp", "image/jpg", "IMAGE/PNG"])
def test_a_data_uri_is_read_by_its_content(kind):
    np.testing.assert_array_equal(np.asarray(load_image(uri(FILE, kind), LOC, FetchPolicy())), PIXELS)


def test_a_url_is_fetched_whatever_type_the_server_claims():
    with serve(answer(200, FILE, ("Content-Type", "text/html"))) as server:
        np.testing.assert_array_equal(np.asarray(load_image(server.url("/x.gif"), LOC, LOCAL)), PIXELS)


@pytest.mark.parametrize("source", [
    "", "picture.png", "/etc/passwd", "file:///etc/passwd", "ftp://example.org/a.png", "blob:x", "s3://bucket/key",
    "data:image/gif;base64,R0lGOD", "data:image/svg+xml;base64,PHN2Zz4=", "data:text/html;base64,AAAA",
    "data:image/png,abc", "data:image/png;charset=utf-8;base64,AAAA", "data:;base64,AAAA", "data:image/png;base64",
    " " + uri(FILE), "data:application/octet-stream;base64," + TEXT, "DATA:image/bmp;base64,AAAA",
    "image/png;base64,AAAA",
])  # fmt: skip
def test_other_sources_are_refused_with_a_clear_text(source):
    with pytest.raises(FileDownloadError, match="must be an http or https URL or a data:image/png") as refusal:
        load_image(source, LOC, LOCAL)
    assert refusal.value.detail[0]["loc"] == list(LOC)


@pytest.mark.parametrize("text", [
    TEXT[:-1], TEXT + "=", TEXT[:50] + "\n" + TEXT[50:], TEXT[:50] + " " + TEXT[50:],
    TEXT.replace("/", "_").replace("+", "-") + "-_",
    TEXT[:50] + "%3D" + TEXT[50:], TEXT[:50] + "é" + TEXT[50:], TEXT[:51] + "=" + TEXT[51:], "====", "A", "AA=A", "",
    *(TEXT[:48] + bad + TEXT[48:] for bad in ("\n\r\n\r", "    ", "-_-_", "%%%%", "====", "AA==")), "AB==" + TEXT,
])  # fmt: skip
def test_only_plain_base64_is_read(text):
    with pytest.raises((ImageLoadError, UnsupportedImageFormat)):
        load_image("data:image/png;base64," + text, LOC, LOCAL)


@pytest.mark.parametrize("name", ["gif", "svg", "html", "pdf"])
def test_the_declared_type_does_not_help_another_format(name):
    with pytest.raises(UnsupportedImageFormat):
        load_image(uri(OTHER_FORMATS[name]), LOC, LOCAL)


def test_the_size_limit_is_exact():
    policy = FetchPolicy(max_bytes=100_000)
    load_image(uri(grown(FILE, 100_000)), LOC, policy)
    for excess in (1, 2, 3, 50_000):
        with pytest.raises(FileTooLarge) as refusal:
            load_image(uri(grown(FILE, 100_000 + excess)), LOC, policy)
        assert refusal.value.detail[0]["ctx"] == {"max_size": 100_000}


def test_an_enormous_data_uri_is_refused_before_it_is_decoded():
    source = "data:image/png;base64," + "A" * (60 * 2**20)
    tracemalloc.start()
    with pytest.raises(FileTooLarge) as refusal:
        load_image(source, LOC, FetchPolicy())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert len(str(refusal.value.detail)) < 1000
