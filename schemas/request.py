"""The canonical request: fal's fields plus `endpoint` and `advanced`. Doors map onto it; workers check it.

Field names, defaults and ranges are fal's (its OpenAPI of `fal-ai/fooocus` and the three sibling endpoints).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError

from schemas.advanced import Advanced
from schemas.enums import (
    ControlType,
    DescribeType,
    Endpoint,
    FalPerformance,
    FalRefiner,
    InpaintEngine,
    InpaintMode,
    OutpaintSide,
    OutputFormat,
    UovMethod,
)
from schemas.errors import FieldError, InvalidInput
from schemas.fields import AspectRatio, ImageSource, RealNumber, Text, Unique, WholeNumber
from schemas.parts import ImagePrompt, LoraWeight, Part
from schemas.style_names import STYLE_NAMES

DEFAULT_STYLES = ("Fooocus Enhance", "Fooocus V2", "Fooocus Sharp")

OFFSET_LORA = LoraWeight(
    path="https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/"
    "sd_xl_offset_example-lora_1.0.safetensors",
    scale=0.1,
)

StyleName = Literal[STYLE_NAMES]  # type: ignore[valid-type]
Weight = Annotated[float, Field(ge=0, le=2), RealNumber]
Share = Annotated[float, Field(ge=0, le=1), RealNumber]


class GenerationRequest(Part):
    """What the four generating endpoints have in common. `{}` is valid wherever no field is required."""

    endpoint: ClassVar[Endpoint]

    prompt: Text = ""
    negative_prompt: Text = ""
    styles: Annotated[tuple[StyleName, ...], Unique] = DEFAULT_STYLES
    performance: FalPerformance = FalPerformance.EXTREME_SPEED
    guidance_scale: Annotated[float, Field(ge=1, le=30), RealNumber] = 4.0
    sharpness: Annotated[float, Field(ge=0, le=30), RealNumber] = 2.0
    aspect_ratio: AspectRatio = "1024x1024"
    num_images: Annotated[int, Field(ge=1, le=4), WholeNumber] = 1
    loras: Annotated[tuple[LoraWeight, ...], Field(max_length=5)] = (OFFSET_LORA,)
    refiner_model: FalRefiner = FalRefiner.NONE
    refiner_switch: Share = 0.8
    output_format: OutputFormat = OutputFormat.JPEG
    sync_mode: bool = False
    seed: Annotated[int, Field(ge=-(2**63), le=2**64 - 1), WholeNumber] | None = None
    enable_safety_checker: bool = True
    advanced: Advanced = Advanced()


class InpaintFields(Part):
    """How the inpaint and image-prompt endpoints repaint."""

    inpaint_mode: InpaintMode = InpaintMode.DEFAULT
    inpaint_additional_prompt: Text = ""
    outpaint_selections: Annotated[tuple[OutpaintSide, ...], Unique] = ()


class ImagePromptFields(Part):
    """The three control slots that are optional everywhere they exist."""

    image_prompt_2: ImagePrompt | None = None
    image_prompt_3: ImagePrompt | None = None
    image_prompt_4: ImagePrompt | None = None


class TextToImageRequest(GenerationRequest):
    """`fal-ai/fooocus`"""

    endpoint: ClassVar[Endpoint] = Endpoint.TEXT_TO_IMAGE

    control_image_url: ImageSource | None = None
    control_type: ControlType = ControlType.PYRA_CANNY
    control_image_weight: Weight = 1.0
    control_image_stop_at: Share = 1.0
    inpaint_image_url: ImageSource | None = None
    mask_image_url: ImageSource | None = None
    mixing_image_prompt_and_inpaint: bool = False


class InpaintRequest(ImagePromptFields, InpaintFields, GenerationRequest):
    """`fal-ai/fooocus/inpaint`. The five options after `override_inpaint_options` apply only when it is true."""

    endpoint: ClassVar[Endpoint] = Endpoint.INPAINT

    inpaint_image_url: ImageSource
    mask_image_url: ImageSource | None = None
    mixing_image_prompt_and_inpaint: bool = False
    override_inpaint_options: bool = False
    inpaint_disable_initial_latent: bool = False
    inpaint_engine: InpaintEngine = InpaintEngine.V26
    inpaint_strength: Annotated[float, Field(gt=0, le=1), RealNumber] = 1.0
    inpaint_respective_field: Share = 0.618
    inpaint_erode_or_dilate: Annotated[float, Field(ge=-64, le=64), RealNumber] = 0
    invert_mask: bool = False
    image_prompt_1: ImagePrompt | None = None


class ImagePromptRequest(ImagePromptFields, InpaintFields, GenerationRequest):
    """`fal-ai/fooocus/image-prompt`"""

    endpoint: ClassVar[Endpoint] = Endpoint.IMAGE_PROMPT

    image_prompt_1: ImagePrompt
    inpaint_image_url: ImageSource | None = None
    mask_image_url: ImageSource | None = None
    mixing_image_prompt_and_inpaint: bool = False
    uov_image_url: ImageSource | None = None
    uov_method: UovMethod = UovMethod.DISABLED
    mixing_image_prompt_and_vary_upscale: bool = False


class UpscaleOrVaryRequest(ImagePromptFields, GenerationRequest):
    """`fal-ai/fooocus/upscale-or-vary`"""

    endpoint: ClassVar[Endpoint] = Endpoint.UPSCALE_OR_VARY

    uov_image_url: ImageSource
    uov_method: UovMethod = UovMethod.VARY_STRONG
    mixing_image_prompt_and_vary_upscale: bool = False
    image_prompt_1: ImagePrompt | None = None


class DescribeRequest(Part):
    """A picture to put into words. Fooocus's "Describe"; fal has no such endpoint."""

    endpoint: ClassVar[Endpoint] = Endpoint.DESCRIBE

    image_url: ImageSource
    types: Annotated[tuple[DescribeType, ...], Unique, Field(min_length=1)] = (DescribeType.PHOTO,)


class EnhanceRequest(GenerationRequest):
    """Regions of a picture made anew, found by their names. Fooocus's "Enhance", a feature of later: the worker answers
    `feature_not_supported`."""

    endpoint: ClassVar[Endpoint] = Endpoint.ENHANCE

    image_url: ImageSource


class GenerateMaskRequest(Part):
    """A mask of what a picture shows. A feature of later, too."""

    endpoint: ClassVar[Endpoint] = Endpoint.GENERATE_MASK

    image_url: ImageSource


Request = (
    TextToImageRequest
    | InpaintRequest
    | ImagePromptRequest
    | UpscaleOrVaryRequest
    | DescribeRequest
    | EnhanceRequest
    | GenerateMaskRequest
)

REQUESTS: dict[Endpoint, type[Request]] = {
    model.endpoint: model
    for model in (
        TextToImageRequest,
        InpaintRequest,
        ImagePromptRequest,
        UpscaleOrVaryRequest,
        DescribeRequest,
        EnhanceRequest,
        GenerateMaskRequest,
    )
}


def parse_request(body: Any) -> Request:
    """Validate a worker's `input`: fal's fields, `endpoint` ("" when omitted) and `advanced`.

    Raises InvalidInput with fal's detail list; every `loc` starts with "body".
    """
    if not isinstance(body, dict):
        raise FieldError(["body"], input=body, message="Input should be a valid dictionary")
    model = REQUESTS[_endpoint(body.get("endpoint"))]
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error) from None


def _endpoint(value: Any) -> Endpoint:
    try:
        return Endpoint(value or "")
    except ValueError:
        expected = ", ".join(repr(str(member)) for member in Endpoint)
        raise FieldError(
            ["body", "endpoint"], input=value, message=f"Input should be {expected}", expected=expected
        ) from None
