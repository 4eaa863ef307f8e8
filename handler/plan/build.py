"""From a validated request to the Plan."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from handler.plan.controls import plan_controls
from handler.plan.images import Images
from handler.plan.inpaint import SYNTHETIC_SWITCH, FindInpaintNetwork, network_plan, plan_inpaint
from handler.plan.performance import FEW_STEP_GUIDANCE, MODES, Mode
from handler.plan.plan import (
    FreeUPlan,
    GuidancePlan,
    InpaintPlan,
    LoraPlan,
    OutputPlan,
    Plan,
    RefinerPlan,
    SamplingPlan,
    VaePlan,
)
from handler.plan.prompt.inline_loras import extract_loras
from handler.plan.prompt.lines import split_lines
from handler.plan.prompt.process import PromptSettings, PromptSources, process_prompts
from handler.plan.refiner import FindModel, plan_refiner
from handler.plan.sigmas import schedule, sigma_range
from handler.plan.sizes import whole_latents
from handler.plan.uov import Uov, plan_uov
from schemas.advanced import Advanced
from schemas.enums import Performance
from schemas.errors import Location, ModelMissing
from schemas.fields import MAX_SEED, parse_size
from schemas.request import GenerationRequest

NO_IMAGES: Images = {}

BASE_MODEL: Location = ("body", "advanced", "base_model")
VAE_NAME: Location = ("body", "advanced", "vae_name")

LEAST_DENOISE = 0.001
"""A run over a smaller share of the noise levels is one over this share: its schedule would be endlessly long."""

MAX_LORAS = 5
"""LoRAs of a request, inline tags included; the one a performance mode brings does not count."""


@dataclass(frozen=True)
class PlanSources:
    """What a plan is made with besides the request.

    prompts: styles, wildcards and expansion. lora_files: names (relative paths) of installed LoRAs.
    find_lora: (name, path or URL; the field that named it) -> local file, or raises InvalidInput.
    allow_unchecked: whether a request may switch the safety checker off.
    base: the checkpoint of requests that name none, a file or folder. find_checkpoint: name -> an installed one.
    find_vae: the same for VAEs. find_inpaint_network: engine -> its files.
    """

    prompts: PromptSources
    lora_files: tuple[str, ...]
    find_lora: Callable[[str, Location], Path]
    allow_unchecked: bool
    base: Path
    find_checkpoint: FindModel
    find_vae: FindModel
    find_inpaint_network: FindInpaintNetwork


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
    uov = plan_uov(request, images)
    inpaint = plan_inpaint(request, images, sources.find_inpaint_network)
    steps = advanced.overwrite_step or (mode.steps_uov if any(each.fewer_steps for each in uov) else mode.steps)
    sampling = _sampling(advanced, mode, steps, next((each.denoise for each in (*uov, *inpaint)), 1.0))
    base = _base(advanced, sources)
    refiner = _refiner(request, mode, steps, base, sources)
    repainted = tuple(network_plan(each, request, sampling.steps, bool(refiner)) for each in inpaint)
    main, extra = _lines(request, bool(inpaint))
    negative, negative_extra = split_lines(request.negative_prompt)
    loras, main = _loras(request, performance, mode, main, sources)
    width, height = _size(request, uov, repainted)
    settings = PromptSettings(
        prompt=main,
        negative_prompt=negative,
        styles=request.styles,
        images=_count(request, uov),
        seed=(kernel_seed() if request.seed is None else request.seed) % (MAX_SEED + 1),
        extra=extra,
        negative_extra=negative_extra,
        seed_increment=not advanced.disable_seed_increment,
        wildcards_in_order=advanced.read_wildcards_in_order,
    )
    return Plan(
        base=base,
        vae=_vae(advanced, sources),
        performance=performance,
        width=width,
        height=height,
        clip_skip=advanced.clip_skip,
        refiner_switch=_refiner_switch(request, mode, repainted, bool(refiner)),
        refiner=refiner,
        freeu=_freeu(advanced),
        guidance=_guidance(request, mode),
        sampling=sampling,
        loras=loras,
        images=process_prompts(settings, sources.prompts),
        controls=plan_controls(request, images),
        uov=tuple(each.plan for each in uov),
        inpaint=repainted,
        output=OutputPlan(
            format=request.output_format,
            stem=advanced.save_name or job_id,
            metadata=(advanced.metadata_scheme,) if advanced.save_metadata else (),
            preview=not advanced.disable_preview,
        ),
        check_safety=request.enable_safety_checker or not sources.allow_unchecked,
    )


def _size(request: GenerationRequest, uov: tuple[Uov, ...], inpaint: tuple[InpaintPlan, ...]) -> tuple[int, int]:
    """Width and height of what is sampled; a picture's own size counts, not the one asked for."""
    for picture in (*(each.plan for each in uov), *inpaint):
        height, width = whole_latents((picture.height, picture.width))
        return width, height
    width, height = parse_size(request.aspect_ratio)
    return request.advanced.overwrite_width or width, request.advanced.overwrite_height or height


def _count(request: GenerationRequest, uov: tuple[Uov, ...]) -> int:
    """How many pictures: a picture that is only upscaled is always the same one."""
    if any(not each.plan.diffused for each in uov):
        return 1
    return request.advanced.num_images or request.num_images


def _lines(request: GenerationRequest, repaints: bool) -> tuple[str, tuple[str, ...]]:
    """Main line and extra lines; what is said of the repainted place comes first."""
    additional = getattr(request, "inpaint_additional_prompt", "") if repaints else ""
    return split_lines(f"{additional}\n{request.prompt}")


def _base(advanced: Advanced, sources: PlanSources) -> Path:
    if advanced.base_model in (None, sources.base.name):
        return sources.base
    return sources.find_checkpoint(advanced.base_model, BASE_MODEL)


def _vae(advanced: Advanced, sources: PlanSources) -> tuple[VaePlan, ...]:
    name = advanced.vae_name
    return () if name is None else (VaePlan(sources.find_vae(name, VAE_NAME), VAE_NAME),)


def _refiner(
    request: GenerationRequest, mode: Mode, steps: int, base: Path, sources: PlanSources
) -> tuple[RefinerPlan, ...]:
    """The few-step modes have none."""
    if mode.sampler is not None:
        return ()
    return plan_refiner(request, steps, base, sources.find_checkpoint)


def _refiner_switch(request: GenerationRequest, mode: Mode, inpaint: tuple[InpaintPlan, ...], refined: bool) -> float:
    """The share of the steps after which another network takes over, for the metadata."""
    if any(each.network for each in inpaint) and not refined:
        return SYNTHETIC_SWITCH
    return 1.0 if mode.sampler else request.refiner_switch


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


def _sampling(advanced: Advanced, mode: Mode, steps: int, denoise: float) -> SamplingPlan:
    sampler = mode.sampler or advanced.sampler_name
    scheduler = mode.scheduler or advanced.scheduler_name
    denoise = max(denoise, LEAST_DENOISE)
    sigmas = schedule(scheduler, steps, denoise, sampler=sampler)
    return SamplingPlan(sampler, scheduler, len(sigmas) - 1, sigmas, *sigma_range(sigmas), denoise)


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
