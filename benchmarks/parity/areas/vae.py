"""Pictures to latents and back, whole and in tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate

from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.vectors import INPUT, Case
from handler.engine import vae as codec
from handler.engine.tiles import tiled

PIXELS = "pixels.png"
STRIDE = 3


def stored_noise(case: Case) -> Callable[[torch.Size], Tensor]:
    """The case's draws in order; each must be asked for in its own shape."""
    draws: Iterator[Tensor] = iter([case.tensors[name] for name in sorted(case.names(INPUT)) if "noise" in name])

    def draw(shape: torch.Size) -> Tensor:
        noise = next(draws)
        if noise.shape != shape:
            raise ValueError(f"noise of {tuple(shape)} asked for where {tuple(noise.shape)} was used")
        return noise

    return draw


def whole(case: Case, networks: Networks) -> Results:
    vae = networks.model.vae
    latent = codec.encode(vae, case.picture(PIXELS), stored_noise(case))
    return {
        "latent": latent,
        "decoded": codec.decode_float(vae, latent),
        "decoded_uint8": codec.decode(vae, latent),
    }


def in_tiles(case: Case, networks: Networks) -> Results:
    vae, given = networks.model.vae, case.parameters
    tile = tuple(given["encode_tile_xy"])
    latent = codec.encode_tiled(vae, case.picture(PIXELS), stored_noise(case), tile, given["encode_overlap"])
    decoded = codec.decode_tiled_float(vae, latent, tuple(given["decode_tile_xy"]), given["decode_overlap"])
    return {"latent": latent, "decoded": decoded, f"decoded_stride{STRIDE}": decoded[:, ::STRIDE, ::STRIDE]}


def loop(case: Case, networks: Networks) -> Results:
    """The tile loop alone, over a small convolution that enlarges."""
    given = case.parameters
    kernel, scale = case.tensors["kernel"], given["scale"]

    def function(part: Tensor) -> Tensor:
        return interpolate(conv2d(part, kernel, padding=1), scale_factor=scale, mode="nearest")

    tile = given["tile_x"], given["tile_y"]
    return {"output": tiled(case.tensors["input"], function, tile, given["overlap"], scale)}


KINDS = (
    Kind(lambda case: "encode_tile_xy" in case.parameters and case.has("input", PIXELS), in_tiles),
    Kind(lambda case: case.has("input", PIXELS, "posterior_noise") and case.has("expected", "latent"), whole),
    Kind(lambda case: case.has("input", "input", "kernel") and "tile_x" in case.parameters, loop),
)
