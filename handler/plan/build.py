"""From a validated request to the Plan."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from handler.plan.controls import plan_controls
from handler.plan.images import Images
from handler.plan.performance import FEW_STEP_GUIDANCE, MODES, Mode
from handler.plan.plan import FreeUPlan, GuidancePlan, LoraPlan, OutputPlan, Plan, RefinerPlan, SamplingPlan
from handler.plan.prompt.inline_loras import extract_loras
from handler.plan.prompt.lines import split_lines
from handler.plan.prompt.process import PromptSettings, PromptSources, process_prompts
from handler.plan.refiner import FindCheckpoint, plan_refiner
from handler.plan.sigmas import schedule, sigma_range
from schemas.advanced import Advanced
from schemas.enums import Performance
from schemas.errors import Location, ModelMissing
from schemas.fields import MAX_SEED, parse_size
from schemas.request import GenerationRequest

NO_IMAGES: Images = {}

MAX_LORAS = 5
"""LoRAs of a request, inline tags included; the one a performance mode brings does not count."""


@dataclass(frozen=True)
class PlanSources:
    """What a plan is made with besides the request.

    prompts: styles, wildcards and expansion. lora_files: names (relative paths) of installed LoRAs.
    find_lora: (name, path or URL; the field that named it) -> local file, or raises InvalidInput.
    allow_unchecked: whether a request may switch the safety checker off.
    base: the base checkpoint, a file or folder. find_checkpoint: name -> an installed one.
    """

    prompts: PromptSources
    lora_files: tuple[str, ...]
    find_lora: Callable[[str, Location], Path]
    allow_unchecked: bool
    base: Path
    find_checkpoint: FindCheckpoint


def kernel_seed() -> int:
    """A fresh seed, 0..2**63-1, from the kernel: a restored process snapshot never repeats it."""
    return int.from_bytes(os.urandom(8), "big") & MAX_SEED


def build_plan(request: GenerationRequest, job_id: str, sources: PlanSources, images: Images = NO_IMAGES) -> Plan:
    """Resolve `request`. images: those that `image_sources` names.

    Raises InvalidInput for files that cannot be had, ModelMissing for a mode's LoRA.
    """
    advanced = request.advanced
    performance = advanced.performance or Performance(request.performance)
    mode = MODES[performance]
    main, extra = split_lines(request.prompt)
    negative, negative_extra = split_lines(request.negative_prompt)
    loras, main = _loras(request, performance, mode, main, sources)
    width, height = _size(request)
    settings = PromptSettings(
        prompt=main,
        negative_prompt=negative,
        styles=request.styles,
        images=advanced.num_images or request.num_images,
        seed=(kernel_seed() if request.seed is None else request.seed) % (MAX_SEED + 1),
        extra=extra,
        negative_extra=negative_extra,
        seed_increment=not advanced.disable_seed_increment,
        wildcards_in_order=advanced.read_wildcards_in_order,
    )
    return Plan(
        performance=performance,
        width=width,
        height=height,
        clip_skip=advanced.clip_skip,
        refiner_switch=1.0 if mode.sampler else request.refiner_switch,
        refiner=_refiner(request, mode, sources),
        freeu=_freeu(advanced),
        guidance=_guidance(request, mode),
        sampling=_sampling(advanced, mode),
        loras=loras,
        images=process_prompts(settings, sources.prompts),
        controls=plan_controls(request, images),
        uov=(),
        inpaint=(),
        output=OutputPlan(
            format=request.output_format,
            stem=advanced.save_name or job_id,
            metadata=(advanced.metadata_scheme,) if advanced.save_metadata else (),
            preview=not advanced.disable_preview,
        ),
        check_safety=request.enable_safety_checker or not sources.allow_unchecked,
    )


def _size(request: GenerationRequest) -> tuple[int, int]:
    width, height = parse_size(request.aspect_ratio)
    return request.advanced.overwrite_width or width, request.advanced.overwrite_height or height


def _refiner(request: GenerationRequest, mode: Mode, sources: PlanSources) -> tuple[RefinerPlan, ...]:
    """The few-step modes have none."""
    if mode.sampler is not None:
        return ()
    steps = request.advanced.overwrite_step or mode.steps
    return plan_refiner(request, steps, sources.base, sources.find_checkpoint)


def _freeu(advanced: Advanced) -> tuple[FreeUPlan, ...]:
    freeu = advanced.freeu
    return () if freeu is None else (FreeUPlan(freeu.b1, freeu.b2, freeu.s1, freeu.s2),)


def _guidance(request: GenerationRequest, mode: Mode) -> GuidancePlan:
    if mode.sampler is not None:
        return FEW_STEP_GUIDANCE
    advanced = request.advanced
    return GuidancePlan(
        cfg=request.guidance_scale,
        sharpness=request.sharpness,
        adaptive_cfg=advanced.adaptive_cfg,
        adm_positive=advanced.adm_scaler_positive,
        adm_negative=advanced.adm_scaler_negative,
        adm_end=advanced.adm_scaler_end,
    )


def _sampling(advanced: Advanced, mode: Mode) -> SamplingPlan:
    sampler = mode.sampler or advanced.sampler_name
    scheduler = mode.scheduler or advanced.scheduler_name
    steps = advanced.overwrite_step or mode.steps
    sigmas = schedule(scheduler, steps, sampler=sampler)
    sigma_min, sigma_max = sigma_range(sigmas)
    return SamplingPlan(sampler, scheduler, len(sigmas) - 1, sigmas, sigma_min, sigma_max, 1.0)


def _loras(
    request: GenerationRequest, performance: Performance, mode: Mode, prompt: str, sources: PlanSources
) -> tuple[tuple[LoraPlan, ...], str]:
    """The LoRAs of the request, then inline ones, cut to MAX_LORAS, then the performance mode's own."""
    asked = request.advanced.loras
    field: Location = ("body", "loras") if asked is None else ("body", "advanced", "loras")
    listed = [(lora.path, lora.scale) for lora in (request.loras if asked is None else asked)]
    named, prompt = extract_loras(prompt, listed, mode.free_loras(sources.lora_files), MAX_LORAS)
    plans = []
    places = {name: index for index, (name, _) in reversed(list(enumerate(listed)))}
    for name, scale in named:
        loc = (*field, places[name], "path") if name in places else ("body", "prompt")
        if name != "None" and scale != 0:
            plans.append(LoraPlan(sources.find_lora(name, loc), scale, loc))
    if mode.lora:
        plans.append(_performance_lora(performance, *mode.lora, sources))
    return tuple(plans), prompt


def _performance_lora(performance: Performance, file: str, scale: float, sources: PlanSources) -> LoraPlan:
    loc: Location = ("body", "performance")
    installed = next((name for name in sources.lora_files if Path(name).name == file), None)
    if installed is None:
        raise ModelMissing(
            f"{performance} needs {file}, which is not installed. Run: python -m builder fetch {file}"
        )
    return LoraPlan(sources.find_lora(installed, loc), scale, loc)
