"""What the pictures of a job begin with, and what becomes of them at the end.

A text begins with noise alone, and the decoded latent is the picture. Whatever begins with a picture differs in
these few functions only; each kind is made in a module of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Generator, Tensor

from handler.engine.sampling.refining import Around, nothing_around
from handler.engine.vae import Draw, decode

ToUnits = Callable[[Tensor], Tensor]
"""Latents in VAE units -> in those of a sampler."""
Decode = Callable[[AutoencoderKL, Tensor], np.ndarray]
"""A VAE and a latent [1, 4, h, w] in its units -> uint8 [8 h, 8 w, 3]."""
Finish = Callable[[np.ndarray], np.ndarray]
"""The sampled picture -> the one to deliver, both uint8 [h, w, 3]."""

Upscale = Callable[[np.ndarray], np.ndarray]
"""uint8 [h, w, 3] -> the same picture, its sides some whole factor longer."""

POSTERIOR_SEED = 0x5EED_0F_1A7E_57
"""Of the noise a posterior is sampled with: the same in every job, so that no picture depends on its batch, and
hardly the seed of a picture."""


class Beginning(Protocol):
    """What sampling starts from. latent: [1, 4, h, w] in units of some VAE; None is one of zeros."""

    @property
    def latent(self) -> Tensor | None: ...

    def around(self, seed: int, to_units: ToUnits) -> Around:
        """What is put around the prediction of one run of the picture of this seed. to_units: of the run's sampler."""


@dataclass(frozen=True)
class Plain:
    """Nothing more than a latent."""

    latent: Tensor | None = None

    def around(self, seed: int, to_units: ToUnits) -> Around:
        return nothing_around


def as_it_is(pixels: np.ndarray) -> np.ndarray:
    """The sampled picture is the one to deliver."""
    return pixels


@dataclass(frozen=True)
class Start:
    """beginning: in the units of a VAE; computed once for each.

    worn: a patch that the base network wears while it makes a picture.
    """

    beginning: Callable[[AutoencoderKL], Beginning]
    decode: Decode = decode
    finish: Finish = as_it_is
    worn: Callable[[], AbstractContextManager[None]] = nullcontext


FROM_NOISE = Start(lambda vae: Plain())
"""A text without a picture."""


def posterior_draw() -> Draw:
    """Fresh noise for sampling posteriors, the same in every job."""
    generator = Generator().manual_seed(POSTERIOR_SEED)
    return lambda shape: torch.randn(shape, generator=generator)
