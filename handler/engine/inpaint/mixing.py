"""The kept part of a picture, put back at every model call: noised before it, clean after it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from handler.engine.sampling.refining import Around
from handler.engine.sampling.samplers.run import Denoise
from handler.engine.start import ToUnits

SEEDS = 2**63 - 1


@dataclass(frozen=True)
class Repainted:
    """What repainting begins with, in units of one VAE. latent: see `Beginning`. kept: [1, 4, h, w], the picture that
    stays where mask, [1, 1, h, w], is 0; it is 1 where the picture is made anew.
    """

    latent: Tensor | None
    kept: Tensor
    mask: Tensor

    def around(self, seed: int, to_units: ToUnits) -> Around:
        """Each run has its own noise, from the successor of the picture's seed."""
        kept = to_units(self.kept)
        return lambda denoise: Mixing(denoise, kept, self.mask.to(kept), (seed + 1) % SEEDS)


class Mixing:
    """A prediction that is given, and gives, the kept part as it is. See `Denoiser` for how it is called.

    denoise: the prediction of one picture. kept, mask: see `Repainted`, in sampler units. seed: of the noise on the
    kept part, drawn on the CPU, anew for every call.
    """

    def __init__(self, denoise: Denoise, kept: Tensor, mask: Tensor, seed: int) -> None:
        self._denoise = denoise
        self._kept = kept
        self._mask = mask
        self._generator = Generator().manual_seed(seed)

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        noise = torch.randn(self._kept.shape, generator=self._generator).to(x)
        noised = torch.add(self._kept, noise, alpha=sigma)
        return torch.lerp(self._kept, self._denoise(torch.lerp(noised, x, self._mask), sigma), self._mask)
