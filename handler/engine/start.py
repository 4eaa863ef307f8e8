"""What the pictures of a job begin with, and what becomes of them at the end.

A text begins with noise alone, and the decoded latent is the picture. Whatever begins with a picture differs in
these few functions only; each kind is made in a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from diffusers import AutoencoderKL
from torch import Tensor

from handler.engine.vae import decode

Decode = Callable[[AutoencoderKL, Tensor], np.ndarray]
"""A VAE and a latent [1, 4, h, w] in its units -> uint8 [8 h, 8 w, 3]."""
Finish = Callable[[np.ndarray], np.ndarray]
"""The sampled picture -> the one to deliver, both uint8 [h, w, 3]."""


def as_it_is(pixels: np.ndarray) -> np.ndarray:
    """The sampled picture is the one to deliver."""
    return pixels


@dataclass(frozen=True)
class Start:
    """latent: what sampling starts from, [1, 4, h, w] in units of the base model's VAE; None is one of zeros."""

    latent: Tensor | None = None
    decode: Decode = decode
    finish: Finish = as_it_is
