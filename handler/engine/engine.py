"""The engine: a loaded checkpoint that turns plans into pictures, one at a time, in the thread that owns the device."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from handler.engine import checkpoint, device, failures
from handler.engine.conditioning import Side, TextEncoder
from handler.engine.lora.file import verify
from handler.engine.lora.stack import LoraStack
from handler.engine.picture import Picture
from handler.engine.preview import Preview
from handler.engine.safety import SafetyChecker
from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.loop import sample
from handler.engine.sampling.network import UnetNetwork
from handler.engine.sampling.noise import seeded_noise
from handler.engine.step import OnStep, Step
from handler.engine.types import Conditioning
from handler.engine.vae import FACTOR, decode
from handler.plan.plan import GuidancePlan, ImagePlan, OutputPlan, Plan, SamplingPlan
from schemas.enums import OutputFormat, Performance, Sampler, Scheduler
from schemas.errors import Location

WARM_UP = Plan(
    performance=Performance.LIGHTNING,
    width=256,
    height=256,
    clip_skip=2,
    refiner_switch=1.0,
    guidance=GuidancePlan(4.0, 2.0, 7.0, 1.5, 0.8, 0.3),
    sampling=SamplingPlan(Sampler.EULER, Scheduler.NORMAL, 1, (14.6146, 0.0), 14.6146, 14.6146),
    loras=(),
    images=(ImagePlan(0, ("warm up",), ("",), 1, 1, "", "", "", ()),),
    output=OutputPlan(OutputFormat.JPEG, "", (), inline=True, preview=False),
    check_safety=True,
)
"""One step with guidance: text encoders, UNet, VAE and safety checker all run once."""


@dataclass(frozen=True)
class Prompts:
    """The conditionings of all images of a plan, in order; negatives repeat the positives where none are used."""

    positive: Sequence[Conditioning]
    negative: Sequence[Conditioning]


class Engine:
    """Everything that stays in memory between jobs."""

    def __init__(
        self, model: checkpoint.SdxlModel, safety: SafetyChecker | None, preview: Preview, embeddings: Path
    ) -> None:
        self._model = model
        self._safety = safety
        self._preview = preview
        self._texts = TextEncoder(model, embeddings)
        self._loras = LoraStack(model)

    @classmethod
    def load(cls, path: Path, roots: Sequence[Path], device_name: str, check_safety: bool) -> Engine:
        """Load a checkpoint, the safety checker and the preview decoder.

        roots: the models folders, in order of precedence. Raises FooocusError or ValueError with words for an operator.
        """
        where = device.choose(device_name)
        model = checkpoint.load(path, where, device.unet_dtype(where), roots[0] / "configs")
        safety = SafetyChecker.load(roots, where) if check_safety else None
        return cls(model, safety, Preview.load(path, roots), roots[0] / "embeddings")

    def warm_up(self) -> None:
        """Render one tiny picture, so that the first job finds every kernel and buffer ready."""
        for _ in self.render(WARM_UP, lambda step: None):
            pass

    def check_lora(self, path: Path, loc: Location) -> None:
        """Raise ModelLoadError at `loc` unless the file is a well-formed LoRA."""
        verify(path, loc)

    def render(self, plan: Plan, on_step: OnStep) -> Iterator[Picture]:
        """Yield the plan's pictures one by one.

        What `on_step` raises ends the job. Whatever happens, the model is afterwards as it was before.
        Raises ModelLoadError (a LoRA that does not fit), OutOfMemory, DeviceLost, SafetyCheckFailed.
        """
        with failures.translated(self._release), torch.inference_mode(), self._loras.applied(plan.loras):
            prompts = self._encode(plan)
            for index, image in enumerate(plan.images):
                latent = self._sample(plan, index, prompts, on_step)
                pixels = decode(self._model.vae, latent)
                nsfw = self._safety.check([pixels])[0] if self._safety and plan.check_safety else False
                yield Picture(pixels, image.seed, nsfw)

    def _release(self) -> None:
        """Drop what can be made again."""
        self._loras.forget()
        self._texts.forget()

    def _encode(self, plan: Plan) -> Prompts:
        positive = [Side(image.positive, image.positive_pooled) for image in plan.images]
        if math.isclose(plan.guidance.cfg, 1.0):
            encoded = self._texts.encode(positive, plan.clip_skip)
            return Prompts(encoded, encoded)
        negative = [Side(image.negative, image.negative_pooled) for image in plan.images]
        encoded = self._texts.encode([*positive, *negative], plan.clip_skip)
        return Prompts(encoded[: len(positive)], encoded[len(positive) :])

    def _sample(self, plan: Plan, index: int, prompts: Prompts, on_step: OnStep) -> Tensor:
        height, width = plan.height // FACTOR, plan.width // FACTOR
        denoise = Denoiser(
            UnetNetwork(self._model.unet),
            plan.sampling.scheduler,
            plan.guidance,
            [prompts.positive[index]],
            [prompts.negative[index]],
            height,
            width,
        )
        noise = seeded_noise(plan.sampling, [plan.images[index].seed], height, width, self._model.device)
        return sample(denoise, plan.sampling, noise, self._reporter(plan, index, on_step))

    def _reporter(self, plan: Plan, index: int, on_step: OnStep) -> Callable[[int, int, Tensor], None]:
        def report(step: int, steps: int, denoised: Tensor) -> None:
            on_step(Step(index, len(plan.images), step + 1, steps, lambda: self._preview.jpeg(denoised)))

        return report
