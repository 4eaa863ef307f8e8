"""How the pictures of an inpainting job begin and end: the part to work on, filled, encoded, and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from diffusers import AutoencoderKL

from handler.engine.inpaint.latents import encode_masked, latent_mask
from handler.engine.inpaint.mixing import Repainted
from handler.engine.inpaint.network import InpaintNetworks
from handler.engine.start import Start, Upscale
from handler.engine.vae import Draw, encode
from handler.pixels.crop import crop
from handler.pixels.fill import blurred_fill
from handler.pixels.masks import THRESHOLD, resized
from handler.pixels.paste import pasted
from handler.pixels.resize import lanczos
from handler.plan.plan import InpaintPlan


@dataclass(frozen=True)
class Part:
    """The part of a picture that is worked on, in its working size. mask: uint8 [h, w]; picture, filled: [h, w, 3]."""

    picture: np.ndarray
    mask: np.ndarray
    filled: np.ndarray


def working_part(plan: InpaintPlan, upscale: Upscale) -> Part:
    """Cut out, enlarged by the upscaler where the plan says so, resized and filled."""
    picture = np.ascontiguousarray(crop(plan.image, plan.box))
    if plan.upscaled:
        picture = upscale(picture)
    if picture.shape[:2] != (plan.height, plan.width):
        picture = lanczos(picture, plan.width, plan.height)
    mask = resized(crop(plan.mask, plan.box), plan.width, plan.height)
    return Part(picture, mask, blurred_fill(picture, mask) if plan.filled else picture)


def start_inpainting(
    plan: InpaintPlan, vae: AutoencoderKL, upscale: Upscale, networks: InpaintNetworks, new_draw: Callable[[], Draw]
) -> Start:
    """vae: the base model's. networks: over it.

    new_draw: gives the noise for one VAE's posteriors: the masked picture's, and then the filled one's.
    """
    part = working_part(plan, upscale)
    mask = latent_mask(torch.tensor(part.mask) / 255.0).to(vae.device)

    def encoded(vae: AutoencoderKL, draw: Draw) -> Repainted:
        kept = encode(vae, part.filled, draw)
        return Repainted(kept if plan.from_fill else None, kept, mask)

    draw = new_draw()
    masked = encode_masked(vae, part.picture, torch.tensor(part.mask > THRESHOLD), draw)
    own = encoded(vae, draw)
    others = cache(lambda other: encoded(other, new_draw()))

    @contextmanager
    def worn() -> Iterator[None]:
        with ExitStack() as patches:
            for network in plan.network:
                patches.enter_context(networks.applied(network, masked, mask))
            yield

    return Start(
        beginning=lambda asked: own if asked is vae else others(asked),
        finish=lambda pixels: pasted(plan.image, plan.mask, plan.box, pixels),
        worn=worn,
    )
