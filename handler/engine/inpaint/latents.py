"""What inpainting shows the network: the picture without the marked place, and the mask in latent pixels."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from handler.engine.layout import batch_of_one
from handler.engine.vae import FACTOR, Draw, sample_posterior

GREY = 0.5


@torch.no_grad()
def encode_masked(vae: AutoencoderKL, pixels: np.ndarray, mask: Tensor, draw: Draw) -> Tensor:
    """The latent of a picture whose marked pixels are grey: float32 [1, 4, h // 8, w // 8] in VAE units.

    pixels: uint8 [h, w, 3]; unlike in `vae.encode`, sides that are no multiples of 8 are not cropped.
    mask: [h, w] in 0..1.
    """
    picture = torch.tensor(pixels).to(vae.device).float() / 255.0
    kept = 1.0 - mask.to(picture).round()[:, :, None]
    shown = (picture - GREY) * kept + GREY
    return sample_posterior(vae, batch_of_one(shown * 2.0 - 1.0), draw)


def latent_mask(mask: Tensor) -> Tensor:
    """[h, w] in 0..1 -> [1, 1, h // 8, w // 8], 1 for each latent pixel of which any part is marked, else 0."""
    size = tuple(side // FACTOR * FACTOR for side in mask.shape)
    fitted = interpolate(mask[None, None].float(), size=size, mode="bilinear").round()
    return max_pool2d(fitted, FACTOR).round()
