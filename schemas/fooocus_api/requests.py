"""The bodies of Fooocus-API's generating endpoints. Forms and JSON are the same models; images are base64, data URIs
or URLs here, the form reader having encoded uploaded files."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from schemas.enums import ControlType, MetadataScheme, OutpaintSide, Performance
from schemas.fields import ImageSource, RealNumber, Text, WholeNumber
from schemas.fooocus_api.advanced import AdvancedParams
from schemas.fooocus_api.fields import AspectRatio, Distance, FileStem, StyleName
from schemas.parts import Part

MAX_IMAGES = 32


class JobType(StrEnum):
    """`job_type` of the answers."""

    TEXT_TO_IMAGE = "Text to Image"
    UPSCALE_VARY = "Image Upscale or Variation"
    INPAINT_OUTPAINT = "Image Inpaint or Outpaint"
    IMAGE_PROMPT = "Image Prompt"
    NOT_FOUND = "Not Found"


class UpscaleVaryMethod(StrEnum):
    """`uov_method`; `Upscale (Custom)` goes with `upscale_value`."""

    VARY_SUBTLE = "Vary (Subtle)"
    VARY_STRONG = "Vary (Strong)"
    UPSCALE_15 = "Upscale (1.5x)"
    UPSCALE_2 = "Upscale (2x)"
    UPSCALE_FAST_2 = "Upscale (Fast 2x)"
    UPSCALE_CUSTOM = "Upscale (Custom)"


class SaveExtension(StrEnum):
    """`save_extension`."""

    PNG = "png"
    JPG = "jpg"
    JPEG = "jpeg"
    WEBP = "webp"


class Lora(Part):
    """One LoRA of the models folder; the name `None` and `enabled: false` mean an unused row."""

    enabled: bool = True
    model_name: Annotated[str, Field(min_length=1, max_length=255)]
    weight: Annotated[float, Field(ge=-2, le=2), RealNumber] = 0.5


class ImagePrompt(Part):
    """One image prompt. 0 or null for `cn_stop` and `cn_weight` means the type's own default; a slot without image
    is unused."""

    cn_img: ImageSource | None = None
    cn_stop: Annotated[float, Field(ge=0, le=1), RealNumber] = 0
    cn_weight: Annotated[float, Field(ge=0, le=2), RealNumber] = 0
    cn_type: ControlType = ControlType.IMAGE_PROMPT


class CommonRequest(Part):
    """What every generating endpoint takes. A seed outside 0..2**63-1 means a random one."""

    job_type: ClassVar[JobType]

    prompt: Text = ""
    negative_prompt: Text = ""
    style_selections: tuple[StyleName, ...] = ("Fooocus V2", "Fooocus Enhance", "Fooocus Sharp")
    performance_selection: Performance = Performance.SPEED
    aspect_ratios_selection: AspectRatio = "1152*896"
    image_number: Annotated[int, Field(ge=1, le=MAX_IMAGES), WholeNumber] = 1
    image_seed: Annotated[int, WholeNumber] = -1
    sharpness: Annotated[float, Field(ge=0, le=30), RealNumber] = 2.0
    guidance_scale: Annotated[float, Field(ge=1, le=30), RealNumber] = 4.0
    base_model_name: Annotated[str, Field(max_length=255)] = ""
    refiner_model_name: Annotated[str, Field(max_length=255)] = "None"
    refiner_switch: Annotated[float, Field(ge=0.1, le=1), RealNumber] = 0.5
    loras: Annotated[tuple[Lora, ...], Field(max_length=32)] | None = None
    advanced_params: AdvancedParams = AdvancedParams()
    save_meta: bool = True
    meta_scheme: MetadataScheme = MetadataScheme.FOOOCUS
    save_extension: SaveExtension = SaveExtension.PNG
    save_name: FileStem = ""
    read_wildcards_in_order: bool = False
    require_base64: bool = False
    async_process: bool = False
    webhook_url: Annotated[str, Field(max_length=2048)] = ""


class WithImagePrompts(Part):
    """Up to four image prompts count; unused slots are skipped."""

    image_prompts: Annotated[tuple[ImagePrompt, ...], Field(max_length=32)] = ()


class InpaintFields(Part):
    """What is repainted or grown. A distance of 0 or -1 means the side's default."""

    input_image: ImageSource | None = None
    input_mask: ImageSource | None = None
    inpaint_additional_prompt: Text = ""
    outpaint_selections: tuple[OutpaintSide, ...] = ()
    outpaint_distance_left: Distance = 0
    outpaint_distance_right: Distance = 0
    outpaint_distance_top: Distance = 0
    outpaint_distance_bottom: Distance = 0


class TextToImageRequest(CommonRequest):
    """`/v1/generation/text-to-image`"""

    job_type: ClassVar[JobType] = JobType.TEXT_TO_IMAGE


class TextToImageWithIpRequest(WithImagePrompts, CommonRequest):
    """`/v2/generation/text-to-image-with-ip`"""

    job_type: ClassVar[JobType] = JobType.TEXT_TO_IMAGE


class UpscaleVaryRequest(WithImagePrompts, CommonRequest):
    """`/v1|v2/generation/image-upscale-vary`"""

    job_type: ClassVar[JobType] = JobType.UPSCALE_VARY

    input_image: Annotated[ImageSource, Field(min_length=1)]
    uov_method: UpscaleVaryMethod = UpscaleVaryMethod.UPSCALE_2
    upscale_value: Annotated[float, Field(ge=1, le=5), RealNumber] | None = None


class InpaintOutpaintRequest(WithImagePrompts, InpaintFields, CommonRequest):
    """`/v2/generation/image-inpaint-outpaint`"""

    job_type: ClassVar[JobType] = JobType.INPAINT_OUTPAINT


class InpaintOutpaintForm(InpaintOutpaintRequest):
    """`/v1/generation/image-inpaint-outpaint`, which requires what `v2` leaves optional."""

    input_image: Annotated[ImageSource, Field(min_length=1)]


class ImagePromptRequest(WithImagePrompts, InpaintFields, CommonRequest):
    """`/v1|v2/generation/image-prompt`"""

    job_type: ClassVar[JobType] = JobType.IMAGE_PROMPT
