"""Encoding: what the files hold, what they cost in quality, and the metadata inside them."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from handler.media.decode import decode
from handler.media.encode import content_type, encode, to_uint8
from handler.media.metadata import Metadata, read_metadata
from handler.media.metadata.exif import read_exif, write_exif
from handler.media.png import write_png
from schemas.enums import MetadataScheme, OutputFormat
from tests.support.golden import GOLDEN, assert_close, cases, load_case

from .image_files import chunk, pattern

FORMATS = list(OutputFormat)
METADATA_CASES = cases("text", lambda case: "/metadata_" in case.id)


def photo(width: int = 160, height: int = 96) -> np.ndarray:
    """A smooth picture with a little noise, as models make them."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 17) * np.cos(y / 23), np.sin(x / 31 + y / 11), np.cos(x / 20 - y / 19)], -1)
    noise = np.random.default_rng(0).normal(0, 2, waves.shape)
    return np.clip(waves * 90 + 128 + noise, 0, 255).astype(np.uint8)


def opened(data: bytes) -> Image.Image:
    image = Image.open(BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("output_format", FORMATS)
def test_the_files_are_of_their_format(output_format):
    image = opened(encode(photo(), output_format))
    assert (image.format, image.mode, image.size) == (output_format.value.upper(), "RGB", (160, 96))
    assert Image.MIME[image.format] == content_type(output_format)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (257, 3), (64, 64)])
def test_png_is_exact(size):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(opened(encode(pixels, OutputFormat.PNG))), pixels)


@pytest.mark.parametrize("view", [lambda a: a[::2, ::3], lambda a: a[..., ::-1], lambda a: a.transpose(1, 0, 2)])
def test_any_memory_layout_will_do(view):
    pixels = view(photo())
    np.testing.assert_array_equal(np.asarray(opened(encode(pixels, OutputFormat.PNG))), pixels)


@pytest.mark.parametrize("output_format", [OutputFormat.JPEG, OutputFormat.WEBP])
def test_lossy_formats_lose_little(output_format):
    result = np.asarray(opened(encode(photo(), output_format)))
    assert np.abs(result.astype(int) - photo()).mean() < 2.5


def test_jpeg_has_quality_95():
    ours = opened(encode(photo(), OutputFormat.JPEG)).quantization
    reference = BytesIO()
    Image.fromarray(photo()).save(reference, "JPEG", quality=95)
    assert ours == opened(reference.getvalue()).quantization


def test_png_is_no_larger_than_pillows():
    reference = BytesIO()
    Image.fromarray(photo(640, 480)).save(reference, "PNG", compress_level=1)
    assert len(encode(photo(640, 480), OutputFormat.PNG)) < len(reference.getvalue())


@pytest.mark.parametrize("pixels", [
    np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32),
    np.zeros((1, 4, 4, 3), np.uint8), np.zeros((0, 4, 3), np.uint8), np.zeros((4, 0, 3), np.uint8),
])  # fmt: skip
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ValueError, match="uint8 pixels"):
        encode(pixels, OutputFormat.PNG)


@pytest.mark.parametrize("output_format", FORMATS)
def test_without_metadata_there_is_none(output_format):
    data = encode(photo(), output_format)
    assert read_metadata(data) is None
    assert not {"parameters", "exif", "fooocus_scheme"} & opened(data).info.keys()


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("case", METADATA_CASES, ids=lambda case: case.id)
def test_metadata_is_in_the_file_and_comes_back(case, output_format):
    metadata = Metadata(MetadataScheme(case.parameters["scheme"]), case.expected_json["metadata_text"])
    data = encode(pattern(), output_format, metadata)
    assert read_metadata(data) == metadata
    image = opened(data)
    if output_format is OutputFormat.PNG:
        assert image.info["parameters"] == metadata.text
        assert image.info["fooocus_scheme"] == metadata.scheme.value
    else:
        exif = image.getexif()
        assert (exif[0x0131], exif[0x927C]) == ("Fooocus v2.5.5", metadata.scheme.value)
        assert exif[0x9286].encode("latin-1").decode() == metadata.text


@pytest.mark.parametrize("case", METADATA_CASES, ids=lambda case: case.id)
def test_the_bytes_are_those_of_fooocus(case):
    """Byte for byte the same text chunks and EXIF block; except text beyond ASCII in EXIF, which Fooocus loses."""
    text = case.expected_json["metadata_text"]
    metadata = Metadata(MetadataScheme(case.parameters["scheme"]), text)
    theirs = {path.suffix: path.read_bytes() for path in (GOLDEN / case.id).glob("image.*")}
    assert text_chunks(encode(pattern(), OutputFormat.PNG, metadata)) == text_chunks(theirs[".png"])
    same = opened(encode(pattern(), OutputFormat.JPEG, metadata)).info["exif"] == opened(theirs[".jpeg"]).info["exif"]
    assert same is text.isascii()


def text_chunks(data: bytes) -> list[bytes]:
    chunks, position = [], 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind in (b"tEXt", b"iTXt"):
            chunks.append(data[position : position + 12 + length])
        position += 12 + length
    return chunks


def test_text_beyond_latin_1_is_stored_in_utf_8():
    metadata = Metadata(MetadataScheme.A1111, "東京 café 🦊")
    for output_format in FORMATS:
        assert read_metadata(encode(pattern(), output_format, metadata)) == metadata


def test_a_text_too_long_for_jpeg_is_left_out_of_it():
    metadata = Metadata(MetadataScheme.A1111, "x" * 70_000)
    assert read_metadata(encode(pattern(), OutputFormat.JPEG, metadata)) is None
    assert read_metadata(encode(pattern(), OutputFormat.WEBP, metadata)) == metadata
    assert read_metadata(encode(pattern(), OutputFormat.PNG, metadata)) == metadata


def test_damaged_files_have_no_metadata():
    metadata = Metadata(MetadataScheme.A1111, "a fox")
    for output_format in FORMATS:
        data = encode(pattern(), output_format, metadata)
        for cut in range(0, len(data), 7):
            found = read_metadata(data[:cut])
            assert found is None or "a fox".startswith(found.text)
    assert read_metadata(b"") is None


def test_the_web_uis_own_exif_is_read():
    comment = b"UNICODE\0" + "a café\nSteps: 3".encode("utf-16-be")
    inner = struct.pack(">HHHII", 1, 0x9286, 7, len(comment), 44) + bytes(4)
    block = b"MM\0*\0\0\0\x08" + struct.pack(">HHHII", 1, 0x8769, 4, 1, 26) + bytes(4) + inner + comment
    assert read_exif(block) == {0x9286: "a café\nSteps: 3"}


def test_a_scheme_nobody_knows_is_told_from_the_text():
    for text, scheme in (('{"prompt": "x"}', MetadataScheme.FOOOCUS), ("x", MetadataScheme.A1111)):
        data = write_png(pattern(), [("parameters", text)])
        assert read_metadata(data) == Metadata(scheme, text)
        data = write_png(pattern(), [("parameters", text), ("fooocus_scheme", "other")])
        assert read_metadata(data) == Metadata(scheme, text)


def test_compressed_text_is_not_unpacked():
    data = write_png(pattern())
    bomb = chunk(b"iTXt", b"parameters\0\1\0\0\0" + b"x" * 100)
    assert read_metadata(data[:33] + bomb + data[33:]) is None


def test_exif_written_is_read():
    tags = {0x0131: "abc", 0x927C: "longer than four", 0x9286: "é"}
    assert read_exif(write_exif(tags)) == tags
    exif = Image.Exif()
    exif.load(b"Exif\0\0" + write_exif(tags))
    assert (exif[0x0131], exif[0x927C]) == ("abc", "longer than four")


def test_floats_become_bytes_by_truncation():
    case = load_case("image/float_to_uint8")
    pixels = case.tensors["pixels"].numpy()
    assert_close(case, "uint8", to_uint8(pixels)[0])


@pytest.mark.parametrize("output_format", FORMATS)
def test_our_own_files_pass_our_own_decoder(output_format):
    data = encode(photo(), output_format, Metadata(MetadataScheme.A1111, "a fox"))
    np.testing.assert_array_equal(np.asarray(decode(data, ("x",))), np.asarray(opened(data)))
