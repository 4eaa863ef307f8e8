"""Previews: Fooocus's approximate decoder as in the golden set, linear maps, and small JPEGs whatever the latent."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from handler.engine.preview import MAX_BYTES, Preview, approximate, read_decoder, read_map
from handler.engine.weights import WeightsError
from tests.support.golden import assert_close, load_case

CASE = load_case("preview/approx_decoder")
WEIGHTS = {name.removeprefix("weight."): CASE.tensors[name] for name in CASE.names("input") if "weight." in name}
GREY = {"factors": [[100, 0, 0], [0, 100, 0], [0, 0, 100], [0, 0, 0]], "bias": [127.5, 127.5, 127.5]}


def test_the_approximate_decoder() -> None:
    to_rgb = approximate(WEIGHTS)
    assert_close(CASE, "output", (to_rgb(CASE.tensors["latent"]) - 127.5) / 127.5)
    assert_close(CASE, "preview_uint8", Preview(to_rgb).pixels(CASE.tensors["latent"]))


def test_the_decoders_file_is_read_only_when_its_hash_is_right(tmp_path: Path) -> None:
    path = tmp_path / "xlvaeapp.pth"
    torch.save(WEIGHTS, path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    read = read_decoder(path, sha256)
    assert all(torch.equal(read[name], value.float()) for name, value in WEIGHTS.items())
    for wrong in ("0" * 64, None):
        with pytest.raises(WeightsError, match="not the file of the catalogue"):
            read_decoder(path, wrong)


def test_a_checkpoints_own_map_is_used(tmp_path: Path) -> None:
    (tmp_path / "preview.json").write_text(json.dumps(GREY))
    latent = torch.zeros(1, 4, 2, 3)
    latent[:, 0, 0, 0], latent[:, 2, 1, 2] = 1.0, -9.0
    pixels = Preview.load(tmp_path, []).pixels(latent)
    assert pixels.shape == (2, 3, 3)
    assert pixels[0, 0].tolist() == [227, 127, 127]
    assert pixels[1, 2].tolist() == [127, 127, 0]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"factors": [[1, 2, 3]], "bias": [1, 2, 3]}', '{"factors": "red", "bias": 1}', "\udcff"],
)
def test_damaged_maps_are_passed_over_with_a_warning(
    text: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "preview.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(WeightsError):
        read_map(path)
    standard = Preview.load(tmp_path / "none", []).pixels(torch.ones(1, 4, 2, 2))
    assert np.array_equal(Preview.load(tmp_path, []).pixels(torch.ones(1, 4, 2, 2)), standard)
    assert "preview.json" in caplog.text


def test_sdxls_own_map_has_its_light_and_dark(tmp_path: Path) -> None:
    """The first channel of SDXL's latents is brightness."""
    preview = Preview.load(tmp_path / "model.safetensors", [tmp_path])
    means = [preview.pixels(torch.tensor([level, 0.0, 0.0, 0.0]).reshape(1, 4, 1, 1)).mean() for level in (-2, 0, 1)]
    assert means == sorted(means)
    assert means[0] < 40 < 120 < means[1] < 160 < means[2]


@pytest.mark.parametrize("size", [(128, 128), (8, 8), (1, 256), (256, 40), (90, 60)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_jpegs_are_small(size: tuple[int, int], scale: float) -> None:
    latent = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(2)) * scale
    data = Preview.load(Path("none"), []).jpeg(latent)
    assert len(data) <= MAX_BYTES
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "JPEG"
    assert 128 <= max(picture.size) <= 256
    assert abs(picture.width / picture.height - size[1] / size[0]) <= max(size[1] / size[0] * 0.6, 0.05)


def test_numbers_that_are_none_are_shown_as_something() -> None:
    latent = torch.full((1, 4, 4, 4), torch.nan)
    latent[..., 0] = torch.inf
    assert Preview.load(Path("none"), []).jpeg(latent)


def test_half_precision_and_more_than_one_latent() -> None:
    preview = Preview.load(Path("none"), [])
    latents = torch.randn(2, 4, 8, 8)
    exact, half = preview.pixels(latents), preview.pixels(latents[:1].half())
    assert np.abs(exact.astype(int) - half.astype(int)).max() <= 1
