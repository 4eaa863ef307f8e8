"""Which pictures a request works with, by the fields that name them.

Fooocus has one main purpose per request, and switches to mix image prompts into it: without its switch the endpoint's
own purpose counts, and the pictures of the others are neither used nor fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from schemas.enums import UovMethod
from schemas.errors import Location
from schemas.parts import ImagePrompt
from schemas.request import (
    GenerationRequest,
    ImagePromptRequest,
    InpaintRequest,
    TextToImageRequest,
    UpscaleOrVaryRequest,
)

Images = Mapping[Location, np.ndarray]
"""By the field that named it: uint8 [h, w, 3], or [h, w, 4] where the file has transparency."""

INPAINT_IMAGE: Location = ("body", "inpaint_image_url")
MASK_IMAGE: Location = ("body", "mask_image_url")
UOV_IMAGE: Location = ("body", "uov_image_url")
CONTROL_IMAGE: Location = ("body", "control_image_url")
SLOTS = ("image_prompt_1", "image_prompt_2", "image_prompt_3", "image_prompt_4")


@dataclass(frozen=True)
class Goals:
    """What a request's pictures are for."""

    controls: bool
    inpaint: bool
    uov: bool


def goals(request: GenerationRequest) -> Goals:
    """The purposes in force."""
    prompts = any(True for _ in control_slots(request))
    inpaint = has_inpaint_image(request)
    uov = _uov_method(request) is not UovMethod.DISABLED and has_uov_image(request)
    with_inpaint = getattr(request, "mixing_image_prompt_and_inpaint", False)
    with_uov = getattr(request, "mixing_image_prompt_and_vary_upscale", False)
    if isinstance(request, ImagePromptRequest):
        return Goals(prompts, inpaint and (with_inpaint or not prompts), uov and (with_uov or not prompts))
    mixed = (with_inpaint or not inpaint) and (with_uov or not uov)
    return Goals(prompts and mixed, inpaint, uov)


def has_inpaint_image(request: GenerationRequest) -> bool:
    """Whether there is a picture to repaint; an optional field may be an empty text."""
    return isinstance(request, InpaintRequest) or bool(getattr(request, "inpaint_image_url", None))


def has_uov_image(request: GenerationRequest) -> bool:
    """Whether there is a picture to upscale or vary."""
    return isinstance(request, UpscaleOrVaryRequest) or bool(getattr(request, "uov_image_url", None))


def _uov_method(request: GenerationRequest) -> UovMethod:
    return getattr(request, "uov_method", UovMethod.DISABLED)


def control_slots(request: GenerationRequest) -> Iterator[tuple[Location, ImagePrompt]]:
    """The image prompts that have a picture, and its field; the base endpoint's control image is one."""
    if isinstance(request, TextToImageRequest) and request.control_image_url:
        yield CONTROL_IMAGE, ImagePrompt(
            type=request.control_type,
            image_url=request.control_image_url,
            stop_at=request.control_image_stop_at,
            weight=request.control_image_weight,
        )
    for name in SLOTS:
        slot = getattr(request, name, None)
        if isinstance(slot, ImagePrompt) and slot.image_url:
            yield ("body", name, "image_url"), slot


def image_sources(request: GenerationRequest) -> dict[Location, str]:
    """Every picture the request works with: the field, and the URL or data URI in it."""
    wanted = goals(request)
    names = ["inpaint_image_url"] if wanted.inpaint else []
    if wanted.inpaint and request.mask_image_url:  # type: ignore[attr-defined]
        names.append("mask_image_url")
    if wanted.uov:
        names.append("uov_image_url")
    fields: dict[Location, str] = {("body", name): getattr(request, name) for name in names}
    if wanted.controls:
        fields |= {loc: slot.image_url for loc, slot in control_slots(request) if slot.image_url}
    return fields
