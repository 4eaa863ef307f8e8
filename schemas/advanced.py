"""`advanced`: the settings of Fooocus that fal's schema lacks. All optional; omitted means its default."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.enums import MetadataScheme, Performance, RefinerSwapMethod, Sampler, Scheduler
from schemas.fields import MAX_SIDE, MIN_SIDE, RealNumber, WholeNumber
from schemas.parts import AdvancedLora, FreeU, OutpaintDistances, Part

Side = Annotated[int, Field(ge=MIN_SIDE, le=MAX_SIDE, multiple_of=8), WholeNumber]
Factor = Annotated[float, Field(ge=0.1, le=3), RealNumber]
Share = Annotated[float, Field(ge=0, le=1), RealNumber]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$")]
ModelName = Annotated[str, Field(min_length=1, max_length=255)]


class Advanced(Part):
    """Fooocus's own parameters beside fal's, under the names its users know."""

    performance: Performance | None = None
    num_images: Annotated[int, Field(ge=1, le=32), WholeNumber] | None = None
    loras: Annotated[tuple[AdvancedLora, ...], Field(max_length=32)] | None = None
    overwrite_width: Side | None = None
    overwrite_height: Side | None = None

    base_model: ModelName | None = None
    refiner_model: ModelName | None = None
    vae_name: ModelName | None = None
    refiner_swap_method: RefinerSwapMethod = RefinerSwapMethod.JOINT
    overwrite_switch: Annotated[int, Field(ge=1, le=200), WholeNumber] | None = None

    sampler_name: Sampler = Sampler.DPMPP_2M_SDE_GPU
    scheduler_name: Scheduler = Scheduler.KARRAS
    overwrite_step: Annotated[int, Field(ge=1, le=200), WholeNumber] | None = None
    adm_scaler_positive: Factor = 1.5
    adm_scaler_negative: Factor = 0.8
    adm_scaler_end: Share = 0.3
    adaptive_cfg: Annotated[float, Field(ge=1, le=30), RealNumber] = 7.0
    clip_skip: Annotated[int, Field(ge=1, le=12), WholeNumber] = 2
    freeu: FreeU | None = None
    disable_seed_increment: bool = False
    read_wildcards_in_order: bool = False

    canny_low_threshold: Annotated[int, Field(ge=1, le=255), WholeNumber] = 64
    canny_high_threshold: Annotated[int, Field(ge=1, le=255), WholeNumber] = 128
    controlnet_softness: Share = 0.25
    skipping_cn_preprocessor: bool = False
    overwrite_vary_strength: Share | None = None
    overwrite_upscale_strength: Share | None = None
    upscale_value: Annotated[float, Field(ge=1, le=5), RealNumber] | None = None
    outpaint_distances: OutpaintDistances | None = None

    disable_preview: bool = False
    save_name: FileName | None = None
    save_metadata: bool = False
    metadata_scheme: MetadataScheme = MetadataScheme.FOOOCUS
