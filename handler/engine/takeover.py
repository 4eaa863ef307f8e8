"""The network that goes on where the base network stops: a refiner, or the base network without what it wore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from handler.engine.preview import Preview
from handler.engine.refiner.refiner import Finished, Refiner
from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.network import UnetNetwork
from handler.engine.sampling.noise import Noise
from handler.engine.sampling.refining import Handover, hand_over
from handler.engine.sampling.samplers.run import Denoise
from handler.engine.start import Start
from handler.engine.types import Conditioning
from handler.plan.plan import InpaintNetworkPlan, Plan, RefinerPlan

Told = tuple[Sequence[Conditioning], Sequence[Conditioning], int, int]
"""What a denoiser is told of its pictures: positive and negative sides, height and width of the latents."""


@dataclass(frozen=True)
class Takeover:
    """One for one picture.

    denoise: its predictions. switch: the index of the step at which it goes on. preview: of its latents.
    finish: runs both networks, with the noise of a second run (see `through_vae`).
    """

    denoise: Denoise
    switch: int
    preview: Preview
    finish: Callable[[Handover, Noise], Finished]


def by_refiner(wanted: RefinerPlan, refiner: Refiner, plan: Plan, told: Told, start: Start, seed: int) -> Takeover:
    """start, seed: what the picture begins with, and its seed."""

    def finish(run: Handover, second: Noise) -> Finished:
        return refiner.finish(run, wanted.method, second, start, seed)

    return Takeover(refiner.denoiser(plan, *told), wanted.switch, refiner.preview, finish)


def by_bare_network(
    wanted: InpaintNetworkPlan,
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    preview: Preview,
    plan: Plan,
    told: Told,
    patches: ExitStack,
) -> Takeover:
    """Fooocus's synthetic refiner. patches: what the base network wears."""
    bare = Denoiser(UnetNetwork(unet), plan.sampling.scheduler, plan.guidance, *told)

    def finish(run: Handover, second: Noise) -> Finished:
        return Finished(hand_over(run, wanted.method, second), vae)

    return Takeover(Undressed(bare, patches), wanted.switch, preview, finish)


class Undressed:
    """A prediction before whose first call `patches` is closed."""

    def __init__(self, denoise: Denoise, patches: ExitStack) -> None:
        self._denoise = denoise
        self._patches = patches

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        self._patches.close()
        return self._denoise(x, sigma)
