"""`advanced_params` of Fooocus-API (its AdvancedParams), with the ranges of its document and code."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.enums import InpaintEngine, RefinerSwapMethod
from schemas.fields import RealNumber, WholeNumber
from schemas.fooocus_api.fields import (
    UNSET,
    Factor,
    SamplerName,
    SchedulerName,
    Share,
    ShareOrUnset,
    SideOrUnset,
    SwitchAt,
    Threshold,
)
from schemas.parts import Part

DEFAULT_VAE = "Default (model)"


class AdvancedParams(Part):
    """Unknown keys are ignored. `overwrite_switch` is a step (1..200) when it is a whole number, as the document
    says, and a share of the steps (0..1) with a fraction, as later versions had it."""

    disable_preview: bool = False
    disable_intermediate_results: bool = False
    disable_seed_increment: bool = False
    adm_scaler_positive: Factor = 1.5
    adm_scaler_negative: Factor = 0.8
    adm_scaler_end: Share = 0.3
    adaptive_cfg: Annotated[float, Field(ge=1, le=30), RealNumber] = 7.0
    clip_skip: Annotated[int, Field(ge=1, le=12), WholeNumber] = 2
    refiner_swap_method: RefinerSwapMethod = RefinerSwapMethod.JOINT
    sampler_name: SamplerName = None
    scheduler_name: SchedulerName = None
    overwrite_step: Annotated[int, Field(ge=UNSET, le=200), WholeNumber] = UNSET
    overwrite_switch: SwitchAt = UNSET
    overwrite_width: SideOrUnset = UNSET
    overwrite_height: SideOrUnset = UNSET
    overwrite_vary_strength: ShareOrUnset = UNSET
    overwrite_upscale_strength: ShareOrUnset = UNSET
    mixing_image_prompt_and_vary_upscale: bool = False
    mixing_image_prompt_and_inpaint: bool = False
    debugging_cn_preprocessor: Literal[False] = False
    skipping_cn_preprocessor: bool = False
    controlnet_softness: Share = 0.25
    canny_low_threshold: Threshold = 64
    canny_high_threshold: Threshold = 128
    freeu_enabled: bool = False
    freeu_b1: Annotated[float, Field(ge=0, le=2), RealNumber] = 1.01
    freeu_b2: Annotated[float, Field(ge=0, le=2), RealNumber] = 1.02
    freeu_s1: Annotated[float, Field(ge=0, le=4), RealNumber] = 0.99
    freeu_s2: Annotated[float, Field(ge=0, le=4), RealNumber] = 0.95
    debugging_inpaint_preprocessor: Literal[False] = False
    inpaint_disable_initial_latent: bool = False
    inpaint_engine: InpaintEngine = InpaintEngine.V26
    inpaint_strength: Share = 1.0
    inpaint_respective_field: Share = 1.0
    inpaint_mask_upload_checkbox: bool = False
    inpaint_advanced_masking_checkbox: bool = True
    invert_mask_checkbox: bool = False
    inpaint_erode_or_dilate: Annotated[int, Field(ge=-64, le=64), WholeNumber] = 0
    black_out_nsfw: bool = False
    vae_name: str = DEFAULT_VAE
