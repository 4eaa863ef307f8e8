"""Pictures to latents and back as in the golden set, whole and in tiles; overflow is noticed, never delivered."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from handler.engine import vae as codec
from handler.engine.checkpoint import SdxlModel
from handler.engine.tiles import tiled
from handler.start import DEMO_CHECKPOINT
from schemas.errors import InternalError
from tests.support.golden import Case, assert_close, cases, load_case

WHOLE = cases("vae", lambda case: "encode_decode" in case.id)
TILED = cases("vae", lambda case: "encode_tile_xy" in case.parameters)


def pixels(case: Case) -> np.ndarray:
    return np.asarray(Image.open(case.folder / "pixels.png"))


def stored_noise(case: Case) -> Callable[[torch.Size], Tensor]:
    """The case's draws in order; each must be asked for in its own shape."""
    draws: Iterator[Tensor] = iter([case.tensors[name] for name in sorted(case.names("input")) if "noise" in name])

    def draw(shape: torch.Size) -> Tensor:
        noise = next(draws)
        assert noise.shape == shape
        return noise

    return draw


def test_all_cases_are_here() -> None:
    assert (len(WHOLE), len(TILED)) == (3, 2)


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.id)
def test_whole(case: Case, tiny: SdxlModel) -> None:
    latent = codec.encode(tiny.vae, pixels(case), stored_noise(case))
    assert_close(case, "latent", latent)
    assert_close(case, "decoded", codec.decode_float(tiny.vae, latent))
    assert_close(case, "decoded_uint8", codec.decode(tiny.vae, latent))


@pytest.mark.parametrize("case", TILED, ids=lambda case: case.id)
def test_in_tiles(case: Case, tiny: SdxlModel) -> None:
    given = case.parameters
    latent = codec.encode_tiled(
        tiny.vae, pixels(case), stored_noise(case), tuple(given["encode_tile_xy"]), given["encode_overlap"]
    )
    assert_close(case, "latent", latent)
    tile, overlap = tuple(given["decode_tile_xy"]), given["decode_overlap"]
    assert_close(case, "decoded_stride3", codec.decode_tiled_float(tiny.vae, latent, tile, overlap)[:, ::3, ::3])


def test_the_tile_loop_alone() -> None:
    case = load_case("vae/tiled_blending")
    kernel = case.tensors["kernel"]

    def function(part: Tensor) -> Tensor:
        return interpolate(conv2d(part, kernel, padding=1), scale_factor=2, mode="nearest")

    tile = case.parameters["tile_x"], case.parameters["tile_y"]
    assert_close(case, "output", tiled(case.tensors["input"], function, tile, case.parameters["overlap"], 2))


@pytest.mark.parametrize("size", [(1, 1), (16, 7), (33, 50)])
def test_tiles_of_a_function_of_pixels_give_the_function(size: tuple[int, int]) -> None:
    picture = torch.randn(1, 2, *size)
    torch.testing.assert_close(tiled(picture, lambda part: part * 3, (16, 12), 4, 1), picture * 3)


def test_pixels_are_truncated_not_rounded() -> None:
    assert codec.to_uint8(torch.tensor([[[[0.0, 0.999, 1.0]]]])).tolist() == [[[0, 254, 255]]]


def test_in_fooocus_tiles_a_small_picture_is_three_times_the_same(tiny: SdxlModel) -> None:
    latent = torch.randn(1, 4, 5, 7, generator=torch.Generator().manual_seed(1))
    tiles, whole = codec.decode_tiled(tiny.vae, latent), codec.decode(tiny.vae, latent)
    assert np.abs(tiles.astype(int) - whole.astype(int)).max() <= 1


class Overflowing(torch.nn.Module):
    """Stands behind a VAE's decoder and gives what `value` is, in the narrow type only unless `always`."""

    def __init__(self, decoder: torch.nn.Module, value: float, always: bool) -> None:
        super().__init__()
        self.decoder, self.value, self.always = decoder, value, always

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        result = self.decoder(*args, **kwargs)
        broken = self.always or result.dtype != torch.float32
        return torch.full_like(result, self.value) if broken else result


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_overflow_in_a_narrow_type_is_decoded_again_in_float32(value: float, tiny: SdxlModel) -> None:
    vae = copy.deepcopy(tiny.vae).to(torch.bfloat16)
    vae.decoder = Overflowing(vae.decoder, value, always=False)
    latent = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(1))
    got, wide = codec.decode(vae, latent), codec.decode(tiny.vae, latent)
    # The weights were rounded to bfloat16 once, so the pictures are alike and not equal.
    assert np.abs(got.astype(int) - wide.astype(int)).mean() < 4
    assert vae.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_is_no_picture_is_an_error(dtype: torch.dtype, tiny: SdxlModel) -> None:
    vae = copy.deepcopy(tiny.vae).to(dtype)
    vae.decoder = Overflowing(vae.decoder, torch.nan, always=True)
    with pytest.raises(InternalError):
        codec.decode(vae, torch.zeros(1, 4, 2, 2))


class TooLarge:
    """A network's memory, too small for the first call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, module: torch.nn.Module, inputs: object) -> None:
        self.calls += 1
        if self.calls == 1:
            raise torch.OutOfMemoryError


@pytest.fixture
def demo() -> AutoencoderKL:
    """Trained, so that a tile looks like its part of the whole."""
    return AutoencoderKL.from_pretrained(DEMO_CHECKPOINT / "vae").eval()


def scene(height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3]: smooth colours with a disc."""
    rows, columns = np.mgrid[:height, :width]
    ground = np.stack([rows * 255 / height, columns * 255 / width, np.full((height, width), 90)], axis=2)
    ground[(rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (height / 4) ** 2] = (220, 40, 40)
    return ground.astype(np.uint8)


def test_a_latent_too_large_for_memory_is_decoded_in_tiles(demo: AutoencoderKL) -> None:
    latent = codec.encode(demo, scene(600, 680), torch.zeros)
    whole, limited = codec.decode(demo, latent), TooLarge()
    with demo.decoder.register_forward_pre_hook(limited):
        tiles = codec.decode(demo, latent)
    assert limited.calls > 4
    # Normalisation looks at a tile where it looked at the whole.
    assert np.abs(tiles.astype(int) - whole.astype(int)).mean() < 0.1 * whole.std()


def test_a_picture_too_large_for_memory_is_encoded_in_tiles_with_the_noise_of_the_whole(demo: AutoencoderKL) -> None:
    shapes = []

    def draw(shape: torch.Size) -> Tensor:
        shapes.append(shape)
        return torch.zeros(shape)

    pixels = scene(600, 680)
    whole, limited = codec.encode(demo, pixels, draw), TooLarge()
    with demo.encoder.register_forward_pre_hook(limited):
        tiles = codec.encode(demo, pixels, draw)
    assert limited.calls > 4
    assert shapes == [whole.shape] * 2
    assert (tiles - whole).abs().mean() < 0.05 * whole.std()


def test_what_memory_has_no_room_for_even_in_tiles_is_told(tiny: SdxlModel) -> None:
    def fail(module: torch.nn.Module, inputs: object) -> None:
        raise torch.OutOfMemoryError

    with tiny.vae.decoder.register_forward_pre_hook(fail), pytest.raises(torch.OutOfMemoryError):
        codec.decode(tiny.vae, torch.zeros(1, 4, 2, 2))
