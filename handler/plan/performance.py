"""Fooocus's performance modes: step counts, the LoRA each needs, and what the few-step modes force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from handler.plan.plan import GuidancePlan
from schemas.enums import Performance, Sampler, Scheduler


@dataclass(frozen=True)
class Mode:
    """steps: sampler steps; steps_uov: steps when upscaling; lora: (file, weight) or None.

    sampler, scheduler: forced together with `FEW_STEP_GUIDANCE` where given; None leaves the user's choice.
    """

    steps: int
    steps_uov: int
    lora: tuple[str, float] | None = None
    sampler: Sampler | None = None
    scheduler: Scheduler | None = None

    def free_loras(self, files: Sequence[str]) -> list[str]:
        """The LoRA files a prompt may name: all but the one the mode brings itself."""
        reserved = self.lora[0] if self.lora else None
        return [file for file in files if PurePath(file).name != reserved]


MODES: dict[Performance, Mode] = {
    Performance.QUALITY: Mode(60, 36),
    Performance.SPEED: Mode(30, 18),
    Performance.EXTREME_SPEED: Mode(8, 8, ("sdxl_lcm_lora.safetensors", 1.0), Sampler.LCM, Scheduler.LCM),
    Performance.LIGHTNING: Mode(
        4, 4, ("sdxl_lightning_4step_lora.safetensors", 1.0), Sampler.EULER, Scheduler.SGM_UNIFORM
    ),
    Performance.HYPER_SD: Mode(
        4, 4, ("sdxl_hyper_sd_4step_lora.safetensors", 0.8), Sampler.DPMPP_SDE_GPU, Scheduler.KARRAS
    ),
}

FEW_STEP_GUIDANCE = GuidancePlan(
    cfg=1.0, sharpness=0.0, adaptive_cfg=1.0, adm_positive=1.0, adm_negative=1.0, adm_end=0.0
)
"""The few-step modes run without classifier-free guidance and without Fooocus's tricks on top of it."""
