"""The engine: a loaded checkpoint that turns plans into pictures, one at a time, in the thread that owns the device.

Once per job `_prepare` makes the Material of its pictures. Once per picture `_base_network` dresses the base network
with what the job adds to it, and undresses it afterwards: a wrapper around `Network`, or a patch entered into
`patches`. Control networks and image prompts join there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from handler.engine import checkpoint, device, failures
from handler.engine.conditioning import Side, TextEncoder
from handler.engine.features import Features
from handler.engine.freeu import freeu
from handler.engine.lora.file import LoraFiles
from handler.engine.lora.stack import LoraStack, applied_to_all
from handler.engine.picture import Picture
from handler.engine.preview import Preview
from handler.engine.refiner.refiner import Finished, Refiner, Refiners
from handler.engine.safety import SafetyChecker
from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.latents import to_sampler
from handler.engine.sampling.loop import sample
from handler.engine.sampling.network import Network, UnetNetwork
from handler.engine.sampling.noise import seeded_noise
from handler.engine.sampling.refining import Handover, second_noise
from handler.engine.start import Start
from handler.engine.starts import Starts
from handler.engine.step import OnStep, Step
from handler.engine.takeover import Takeover, Told, by_bare_network, by_refiner
from handler.engine.types import Conditioning
from handler.engine.vae import FACTOR
from handler.engine.vaes import Vaes
from handler.models_folders import holder
from handler.plan.plan import GuidancePlan, ImagePlan, OutputPlan, Plan, RefinerPlan, SamplingPlan
from schemas.enums import OutputFormat, Performance, Sampler, Scheduler

if TYPE_CHECKING:
    from handler.engine.control.guides import Guides

WARM_UP = Plan(
    base=Path(),
    vae=(),
    performance=Performance.LIGHTNING,
    width=256,
    height=256,
    clip_skip=2,
    refiner_switch=1.0,
    refiner=(),
    freeu=(),
    guidance=GuidancePlan(4.0, 2.0, 7.0, 1.5, 0.8, 0.3),
    sampling=SamplingPlan(Sampler.EULER, Scheduler.NORMAL, 1, (14.6146, 0.0), 14.6146, 14.6146, 1.0),
    loras=(),
    controls=(),
    uov=(),
    inpaint=(),
    images=(ImagePlan(0, ("warm up",), ("",), 1, 1, "", "", "", ()),),
    output=OutputPlan(OutputFormat.JPEG, "", (), preview=False),
    check_safety=True,
)
"""One step with guidance: text encoders, UNet, VAE and safety checker all run once."""


@dataclass(frozen=True)
class Prompts:
    """The conditionings of all images of a plan, in order; negatives repeat the positives where none are used."""

    positive: Sequence[Conditioning]
    negative: Sequence[Conditioning]


@dataclass(frozen=True)
class Material:
    """What the pictures of a plan are made of, prepared once."""

    prompts: Prompts
    start: Start
    guides: Guides | None


class Engine:
    """Everything that stays in memory between jobs."""

    def __init__(
        self,
        model: checkpoint.SdxlModel,
        safety: SafetyChecker | None,
        preview: Preview,
        roots: Sequence[Path],
        features: Features | None = None,
    ) -> None:
        """roots: the models folders, in order of precedence. features: how models that only some jobs need are kept."""
        files = LoraFiles()
        self._roots = roots
        self._features = features or Features()
        self._shelf = self._features.shelf
        self._shelf.budget = self._features.budget(model.device)
        self._model = model
        self._safety = safety
        self._preview = preview
        self._texts = TextEncoder(model, holder(roots, "embeddings") / "embeddings")
        self._loras = LoraStack(model, files)
        self._refiners = Refiners(model, preview, roots, files, self._shelf)
        self._starts = Starts(model, roots, self._shelf)
        self._vaes = Vaes(model, self._shelf)

    @classmethod
    def load(
        cls,
        path: Path,
        roots: Sequence[Path],
        device_name: str,
        check_safety: bool,
        features: Features | None = None,
    ) -> Engine:
        """Load a checkpoint, the safety checker and the preview decoder.

        roots: the models folders, in order of precedence. Raises FooocusError or ValueError with words for an operator.
        """
        where = device.choose(device_name)
        model = checkpoint.load(path, where, device.unet_dtype(where), holder(roots, "clip/tokenizer") / "configs")
        safety = SafetyChecker.load(roots, where) if check_safety else None
        return cls(model, safety, Preview.load(path, roots), roots, features)

    def warm_up(self) -> None:
        """Render one tiny picture, so that the first job finds every kernel and buffer ready."""
        for _ in self.render(WARM_UP, lambda step: None):
            pass

    def render(self, plan: Plan, on_step: OnStep) -> Iterator[Picture]:
        """Yield the plan's pictures one by one.

        What `on_step` raises ends the job. Whatever happens, the model is afterwards as it was before. Where memory
        does not suffice for the first of them beside what other jobs left in it, that is dropped and all begins anew.
        Raises ModelLoadError (a LoRA, refiner or VAE that does not fit), OutOfMemory, DeviceLost, SafetyCheckFailed.
        """
        with failures.translated(self.release):
            try:
                yield from failures.given_room(lambda: self._pictures(plan, on_step), self.release)
            finally:
                self._shelf.settle()

    def release(self) -> bool:
        """Drop what can be made again. Returns whether any of it was large."""
        large = self._shelf.bytes + self._loras.bytes
        self._shelf.clear()
        self._loras.forget()
        self._texts.forget()
        return large > 0

    def _pictures(self, plan: Plan, on_step: OnStep) -> Iterator[Picture]:
        with torch.inference_mode(), ExitStack() as patches:
            for uov in plan.uov:
                if not uov.diffused:
                    yield self._checked(plan, self._starts.enlarged(uov, on_step), plan.images[0].seed)
                    return
            refiners = self._refiners_of(plan)
            stacks = [self._loras, *(refiner.loras for _, refiner in refiners)]
            patches.enter_context(applied_to_all(stacks, plan.loras))
            patches.enter_context(self._vaes.worn(plan.vae))
            material = self._prepare(plan, on_step)
            for index, image in enumerate(plan.images):
                finished = self._sample(plan, index, material, refiners, on_step)
                pixels = material.start.finish(material.start.decode(finished.vae, finished.latent))
                yield self._checked(plan, pixels, image.seed)

    def _checked(self, plan: Plan, pixels: np.ndarray, seed: int) -> Picture:
        nsfw = self._safety.check([pixels])[0] if self._safety and plan.check_safety else False
        return Picture(pixels, seed, nsfw)

    def _prepare(self, plan: Plan, on_step: OnStep) -> Material:
        guides = self._guides(plan) if plan.controls else None
        return Material(self._encode(plan), self._starts.of(plan, on_step), guides)

    def _guides(self, plan: Plan) -> Guides:
        # Imported by the first job that has a control image.
        from handler.engine.control.guides import make_guides
        from handler.engine.control.models import ControlModels

        models = ControlModels(self._model, self._roots, self._features.controlnets, self._shelf)
        return make_guides(plan, self._model, models)

    def _base_network(self, plan: Plan, material: Material, patches: ExitStack) -> Network:
        """The base network with what this job adds to it; `patches` takes all of that off again."""
        for settings in plan.freeu:
            patches.enter_context(freeu(self._model.unet, settings))
        patches.enter_context(material.start.worn())
        network = UnetNetwork(self._model.unet)
        return material.guides.around(network, self._model, patches) if material.guides else network

    def _refiners_of(self, plan: Plan) -> list[tuple[RefinerPlan, Refiner]]:
        """One, or none; also where its turn never comes."""
        return [(own, self._refiners.get(own)) for own in plan.refiner if own.switch < plan.sampling.steps]

    def _encode(self, plan: Plan) -> Prompts:
        positive = [Side(image.positive, image.positive_pooled) for image in plan.images]
        if math.isclose(plan.guidance.cfg, 1.0):
            encoded = self._texts.encode(positive, plan.clip_skip)
            return Prompts(encoded, encoded)
        negative = [Side(image.negative, image.negative_pooled) for image in plan.images]
        encoded = self._texts.encode([*positive, *negative], plan.clip_skip)
        return Prompts(encoded[: len(positive)], encoded[len(positive) :])

    def _sample(
        self,
        plan: Plan,
        index: int,
        material: Material,
        refiners: Sequence[tuple[RefinerPlan, Refiner]],
        on_step: OnStep,
    ) -> Finished:
        height, width = plan.height // FACTOR, plan.width // FACTOR
        told = ([material.prompts.positive[index]], [material.prompts.negative[index]], height, width)
        seed, start, sampling = plan.images[index].seed, material.start, plan.sampling
        source = (sampling, [seed], height, width, self._model.device)
        noise, begins = seeded_noise(*source), start.beginning(self._model.vae)
        to_units = partial(to_sampler, scheduler=sampling.scheduler)
        first, second = (begins.around(own, to_units) for own in (seed, seed + 1))
        with ExitStack() as patches:
            network = self._base_network(plan, material, patches)
            base = Denoiser(network, sampling.scheduler, plan.guidance, *told)
            takeovers = self._takeovers(plan, told, start, seed, refiners, patches)
            report = self._reporter(plan, index, on_step, takeovers)
            for other in takeovers:
                run = Handover(
                    base=base,
                    refiner=other.denoise,
                    switch=other.switch,
                    plan=sampling,
                    noise=noise,
                    on_step=report,
                    latent=begins.latent,
                    denoise=sampling.denoise,
                    around=first,
                    around_second=second,
                )
                return other.finish(run, second_noise(*source, noise))
            return Finished(sample(first(base), sampling, noise, report, begins.latent), self._model.vae)

    def _takeovers(
        self,
        plan: Plan,
        told: Told,
        start: Start,
        seed: int,
        refiners: Sequence[tuple[RefinerPlan, Refiner]],
        patches: ExitStack,
    ) -> list[Takeover]:
        """One, or none."""
        model, steps = self._model, plan.sampling.steps
        bare = (network for inpaint in plan.inpaint for network in inpaint.network if network.switch < steps)
        return [
            *(by_refiner(wanted, refiner, plan, told, start, seed) for wanted, refiner in refiners),
            *(by_bare_network(own, model.unet, model.vae, self._preview, plan, told, patches) for own in bare),
        ]

    def _reporter(
        self, plan: Plan, index: int, on_step: OnStep, takeovers: Sequence[Takeover]
    ) -> Callable[[int, int, Tensor], None]:
        def preview(step: int) -> Preview:
            return next((other.preview for other in takeovers if step >= other.switch), self._preview)

        def report(step: int, steps: int, denoised: Tensor) -> None:
            on_step(Step(index, len(plan.images), step + 1, steps, lambda: preview(step).jpeg(denoised)))

        return report
