"""How pictures that are varied or upscaled begin."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from diffusers import AutoencoderKL

from handler.engine.start import Plain, Start, Upscale
from handler.engine.vae import Draw, decode, decode_tiled, encode, encode_tiled
from handler.pixels.resize import lanczos
from handler.plan.plan import UovPlan


def brought_to_size(plan: UovPlan, upscale: Upscale) -> np.ndarray:
    """uint8 [height, width, 3] of the plan."""
    pixels = upscale(plan.image) if plan.upscaled else plan.image
    return pixels if pixels.shape[:2] == (plan.height, plan.width) else lanczos(pixels, plan.width, plan.height)


def start_from_picture(plan: UovPlan, upscale: Upscale, new_draw: Callable[[], Draw]) -> Start:
    """The picture, encoded. new_draw: gives the noise for one VAE's posteriors."""
    pixels = brought_to_size(plan, upscale)
    encoder, decoder = (encode_tiled, decode_tiled) if plan.tiled else (encode, decode)

    @cache
    def beginning(vae: AutoencoderKL) -> Plain:
        return Plain(encoder(vae, pixels, new_draw()))

    return Start(beginning, decoder)
