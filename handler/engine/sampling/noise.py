"""The noise of a run, drawn from each picture's own seed: a picture never depends on what else is in its batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
import torchsde
from torch import Generator, Tensor

from handler.engine.sampling.latents import CHANNELS
from handler.engine.sampling.samplers import BROWNIAN
from handler.plan.plan import SamplingPlan

# To so many digits torchsde rounds times, its ends too, and warns about times outside of its ends.
DIGITS = 6


class Noise(Protocol):
    """Unit Gaussian noise, float32 [pictures, 4, height, width] on the latents' device."""

    def start(self) -> Tensor:
        """The noise a run begins with; asked for once, first."""

    def draw(self, sigma: float, sigma_next: float) -> Tensor:
        """The noise of the step from level `sigma` down to `sigma_next`."""


class GaussianNoise:
    """Independent draws.

    The start comes from a CPU generator. Later draws are made where the latents are, as Fooocus makes them: on
    the CPU they follow the start in its stream, on another device they are that device's stream of the seed.
    """

    def __init__(self, seeds: Sequence[int], height: int, width: int, device: torch.device) -> None:
        self._shape = (1, CHANNELS, height, width)
        self._device = device
        self._first = [Generator().manual_seed(seed) for seed in seeds]
        self._later = self._first
        if device.type != "cpu":
            self._later = [Generator(device).manual_seed(seed) for seed in seeds]

    def start(self) -> Tensor:
        drawn = [torch.randn(self._shape, generator=generator) for generator in self._first]
        return torch.cat(drawn).to(self._device)

    def draw(self, sigma: float, sigma_next: float) -> Tensor:
        return torch.cat([self._randn(generator) for generator in self._later])

    def _randn(self, generator: Generator) -> Tensor:
        return torch.randn(self._shape, generator=generator, device=self._device)


class BrownianNoise(GaussianNoise):
    """Increments of one Brownian motion over the noise level, so that steps of any size see the same path.

    sigma_min, sigma_max: the levels between which it moves.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        height: int,
        width: int,
        device: torch.device,
        sigma_min: float,
        sigma_max: float,
    ) -> None:
        super().__init__(seeds, height, width, device)
        origin = torch.zeros(self._shape, device=device)
        self._ends = round(sigma_min, DIGITS), round(sigma_max, DIGITS)
        self._paths = [torchsde.BrownianTree(sigma_min, origin, sigma_max, entropy=seed) for seed in seeds]

    def draw(self, sigma: float, sigma_next: float) -> Tensor:
        start, end = max(sigma_next, self._ends[0]), min(sigma, self._ends[1])
        increments = [path(start, end) for path in self._paths]
        return torch.cat(increments).mul_(-((sigma - sigma_next) ** -0.5))


def seeded_noise(
    plan: SamplingPlan, seeds: Sequence[int], height: int, width: int, device: torch.device
) -> Noise:
    """The noise the plan's sampler wants. seeds: one per picture, 0 .. 2**63 - 1; sides in latent pixels."""
    if plan.sampler in BROWNIAN:
        return BrownianNoise(seeds, height, width, device, plan.sigma_min, plan.sigma_max)
    return GaussianNoise(seeds, height, width, device)
