"""Refiners ready for use: loaded when first asked for, and kept for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from handler.engine.checkpoint import SdxlModel
from handler.engine.lora.file import LoraFiles, file_key
from handler.engine.lora.stack import LoraStack
from handler.engine.preview import Preview
from handler.engine.refiner.interposer import load_interposer
from handler.engine.refiner.model import RefinerModel, load
from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.loop import sample
from handler.engine.sampling.network import UnetNetwork
from handler.engine.sampling.noise import Noise
from handler.engine.sampling.refining import Course, Handover, hand_over, own_vae_course, refine_only, through_vae
from handler.engine.shelf import Shelf, parameter_bytes
from handler.engine.start import FROM_NOISE, Start
from handler.engine.types import Conditioning
from handler.engine.weights import reported_at
from handler.models_folders import holder
from handler.plan.plan import Plan, RefinerPlan
from schemas.enums import RefinerSwapMethod

Convert = Callable[[Tensor], Tensor]
"""Latents of the base's VAE -> latents of the refiner's, [n, 4, h, w]."""


class Finished(NamedTuple):
    """A latent [pictures, 4, h, w] in VAE units, and the VAE that decodes it."""

    latent: Tensor
    vae: AutoencoderKL


@dataclass(frozen=True)
class Refiner:
    """A refiner beside its base model.

    convert: to its latents. preview: of its latents.
    """

    base: SdxlModel
    model: RefinerModel
    loras: LoraStack
    convert: Convert
    preview: Preview

    @property
    def bytes(self) -> int:
        """The memory of its networks that are not the base model's, and of its LoRAs."""
        own = [self.model.unet, *([self.model.vae] if self.model.kind.own_vae else [])]
        return sum(map(parameter_bytes, own)) + self.loras.bytes

    def denoiser(
        self, plan: Plan, positive: Sequence[Conditioning], negative: Sequence[Conditioning], height: int, width: int
    ) -> Denoiser:
        """What the base model's conditionings make of this network. height, width: of the latents."""
        sides = ([self.model.cut(each, self.base) for each in side] for side in (positive, negative))
        describe = self.model.kind.describe
        network = UnetNetwork(self.model.unet)
        return Denoiser(network, plan.sampling.scheduler, plan.guidance, *sides, height, width, describe)

    def finish(
        self, run: Handover, method: RefinerSwapMethod, second: Noise, start: Start = FROM_NOISE, seed: int = 0
    ) -> Finished:
        """Run both networks. second: see `through_vae`. start, seed: what the picture begins with, and its seed.

        One with a VAE of its own cannot take over latents as they are: it gets a clean one by way of `convert`,
        whatever `method` says, or, where too little of the picture is to be made anew, only one network runs.
        """
        if not self.model.kind.own_vae:
            return Finished(hand_over(run, method, second), self.base.vae)
        course = own_vae_course(run.plan.steps, run.switch, run.denoise)
        if course is Course.BASE_ONLY:
            base = run.around(run.base)
            return Finished(sample(base, run.plan, run.noise, run.on_step, run.latent), self.base.vae)
        scale = self.model.vae.config.scaling_factor
        own = start.beginning(self.model.vae)
        if course is Course.REFINER_ONLY:
            around = own.around(seed, lambda latent: latent * scale)
            latent = refine_only(replace(run, latent=own.latent, around=around), scale)
        else:
            around = own.around(seed + 1, lambda latent: latent * scale)
            run = replace(run, around_second=around)
            latent = through_vae(run, second, lambda clean: self.convert(clean) * scale)
        return Finished(latent / scale, self.model.vae)


class Refiners:
    """Refiners of one base model. shelf: where they are kept."""

    def __init__(
        self, base: SdxlModel, preview: Preview, roots: Sequence[Path], files: LoraFiles, shelf: Shelf
    ) -> None:
        self._base = base
        self._preview = preview
        self._roots = roots
        self._files = files
        self._shelf = shelf

    def get(self, plan: RefinerPlan) -> Refiner:
        """The refiner of a plan. Raises ModelLoadError at its `loc`, and OutOfMemory."""
        with reported_at(plan.loc):
            return self._shelf.get(("refiner", file_key(plan.path)), lambda: self._load(plan.path))

    def _load(self, path: Path) -> Refiner:
        base = self._base
        model = load(path, base, base.unet.dtype, holder(self._roots, "clip/tokenizer") / "configs")
        loras = LoraStack(model, self._files)
        if not model.kind.own_vae:
            return Refiner(base, model, loras, torch.clone, self._preview)
        convert = load_interposer(self._roots, base.device)
        return Refiner(base, model, loras, convert, Preview.of_sd15(self._roots))
