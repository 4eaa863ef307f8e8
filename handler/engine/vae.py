"""Pictures to latents and back.

Latents here are in VAE units: what the encoder gives, not multiplied by the scaling factor the sampler works with.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from handler.engine.failures import or_smaller
from handler.engine.layout import batch_of_one
from handler.engine.tiles import tiled
from schemas.errors import InternalError

FACTOR = 8
"""Pixels per latent pixel."""
ENCODE_TILE, ENCODE_OVERLAP = 512, 64
DECODE_TILE, DECODE_OVERLAP = 64, 16
"""Fooocus's tiles, in pixels to encode and in latent pixels to decode."""

Draw = Callable[[torch.Size], Tensor]
"""Gives the standard normal noise of a shape, for one sample of the VAE's posterior."""


@torch.no_grad()
def encode(vae: AutoencoderKL, pixels: np.ndarray, draw: Draw) -> Tensor:
    """A sample of the posterior, as Fooocus takes it, not its mode. float32 [1, 4, h // 8, w // 8].

    pixels: uint8 [h, w, 3]; sides that are no multiples of 8 are cropped at the centre. See `sample_posterior`.
    """
    return sample_posterior(vae, _input(vae, pixels), draw)


@torch.no_grad()
def encode_tiled(
    vae: AutoencoderKL,
    pixels: np.ndarray,
    draw: Draw,
    tile: tuple[int, int] = (ENCODE_TILE, ENCODE_TILE),
    overlap: int = ENCODE_OVERLAP,
) -> Tensor:
    """`encode` in tiles of (width, height) pixels: the mean of three passes with tiles of different proportions.

    `draw` is asked once per tile, pass by pass, row by row.
    """
    return _encoded_in_tiles(_input(vae, pixels), lambda part: _sample(_posterior(vae, part), draw), tile, overlap)


@torch.no_grad()
def decode(vae: AutoencoderKL, latent: Tensor) -> np.ndarray:
    """latent: [1, 4, h, w] -> uint8 [8 h, 8 w, 3].

    Should the VAE's number type overflow, the picture is decoded once more in float32; should memory run out, in
    tiles. Raises InternalError when it is not finite even in float32.
    """
    return to_uint8(decode_float(vae, latent))


@torch.no_grad()
def decode_float(vae: AutoencoderKL, latent: Tensor) -> Tensor:
    """As `decode`, float32 [1, 8 h, 8 w, 3] in 0..1."""
    return or_smaller(
        lambda: _shown(_finite(vae, latent, _decoded)),
        lambda: decode_tiled_float(vae, latent),
    )


@torch.no_grad()
def decode_tiled(vae: AutoencoderKL, latent: Tensor) -> np.ndarray:
    """`decode` in tiles: less memory."""
    return to_uint8(decode_tiled_float(vae, latent))


@torch.no_grad()
def decode_tiled_float(
    vae: AutoencoderKL,
    latent: Tensor,
    tile: tuple[int, int] = (DECODE_TILE, DECODE_TILE),
    overlap: int = DECODE_OVERLAP,
) -> Tensor:
    """`decode_float` in tiles of (width, height) latent pixels: the mean of three passes."""
    x, y = tile
    passes = ((x // 2, 2 * y), (2 * x, y // 2), (x, y))

    def decoded(vae: AutoencoderKL, latent: Tensor) -> Tensor:
        results = [tiled(latent, lambda part: _decoded(vae, part), each, overlap, FACTOR) for each in passes]
        return torch.stack(results).mean(dim=0)

    return _shown(_finite(vae, latent, decoded))


def to_uint8(pixels: Tensor) -> np.ndarray:
    """float [1, h, w, 3] in 0..1 -> uint8 [h, w, 3], truncated, not rounded."""
    return (pixels[0] * 255.0).to(torch.uint8).cpu().numpy()


def _input(vae: AutoencoderKL, pixels: np.ndarray) -> Tensor:
    """[1, 3, h, w] in -1..1, sides cropped to multiples of 8."""
    height, width = pixels.shape[:2]
    top, left = (height % FACTOR) // 2, (width % FACTOR) // 2
    cropped = pixels[top : top + height // FACTOR * FACTOR, left : left + width // FACTOR * FACTOR]
    return batch_of_one(torch.tensor(cropped).to(vae.device).float() / 255.0 * 2.0 - 1.0)


def sample_posterior(vae: AutoencoderKL, picture: Tensor, draw: Draw) -> Tensor:
    """What the encoder gives for a picture [1, 3, h, w] in -1..1.

    Where memory does not suffice, the encoder looks at it in tiles; the noise is that of the whole.
    """
    posterior = partial(_posterior, vae)
    return _sample(or_smaller(lambda: posterior(picture), lambda: _encoded_in_tiles(picture, posterior)), draw)


def _encoded_in_tiles(
    picture: Tensor,
    encoder: Callable[[Tensor], Tensor],
    tile: tuple[int, int] = (ENCODE_TILE, ENCODE_TILE),
    overlap: int = ENCODE_OVERLAP,
) -> Tensor:
    """The mean of what three passes of `encoder` over the picture [1, 3, h, w] give."""
    x, y = tile
    passes = ((x, y), (2 * x, y // 2), (x // 2, 2 * y))
    return torch.stack([tiled(picture, encoder, each, overlap, 1 / FACTOR) for each in passes]).mean(dim=0)


def _posterior(vae: AutoencoderKL, picture: Tensor) -> Tensor:
    """float32 [1, 8, h // 8, w // 8]: mean and standard deviation of each value of the latent."""
    posterior = vae.encode(picture.to(vae.dtype)).latent_dist
    return torch.cat([posterior.mean, posterior.std], dim=1).float()


def _sample(posterior: Tensor, draw: Draw) -> Tensor:
    mean, std = posterior.chunk(2, dim=1)
    return mean + std * draw(mean.shape).to(mean)


def _decoded(vae: AutoencoderKL, latent: Tensor) -> Tensor:
    return vae.decode(latent.to(vae.device, vae.dtype)).sample.float()


def _shown(decoded: Tensor) -> Tensor:
    return ((decoded + 1.0) / 2.0).clamp(0.0, 1.0).permute(0, 2, 3, 1)


def _finite(vae: AutoencoderKL, latent: Tensor, decoder: Callable[[AutoencoderKL, Tensor], Tensor]) -> Tensor:
    """What the decoder gives; looked at before it is clamped, which would make infinity look like white."""
    decoded = decoder(vae, latent)
    if not decoded.isfinite().all() and vae.dtype != torch.float32:
        decoded = decoder(copy.deepcopy(vae).float(), latent)
    if not decoded.isfinite().all():
        raise InternalError("The model gave numbers that are no picture")
    return decoded
