"""Upscale or vary: what becomes of the picture."""

from __future__ import annotations

from dataclasses import dataclass

from handler.pixels.resize import three_channels
from handler.plan.images import UOV_IMAGE, Images, goals
from handler.plan.limits import LARGEST_AREA, check_given, check_result
from handler.plan.plan import UovPlan
from handler.plan.sizes import UPSCALE_FACTOR, VARY_DENOISE, UovSize, upscale_size, vary_size
from schemas.enums import UovMethod
from schemas.errors import ImageTooLarge
from schemas.request import GenerationRequest, ImagePromptRequest, UpscaleOrVaryRequest

LARGEST_UPSCALED = LARGEST_AREA // 4
"""Pixels of a picture that is given to the upscaler, which makes sixteen of each."""


@dataclass(frozen=True)
class Uov:
    """A picture to upscale or vary, how much of it is made anew (0..1), and by a mode's fewer steps or not."""

    plan: UovPlan
    denoise: float
    fewer_steps: bool


def plan_uov(request: GenerationRequest, images: Images) -> tuple[Uov, ...]:
    """One or none. Raises InvalidInput for a picture of an impossible size."""
    if not isinstance(request, ImagePromptRequest | UpscaleOrVaryRequest) or not goals(request).uov:
        return ()
    picture = three_channels(images[UOV_IMAGE])
    height, width = picture.shape[:2]
    check_given(height, width, UOV_IMAGE)
    varied = request.uov_method in VARY_DENOISE
    size = vary_size(height, width, request.uov_method) if varied else _upscaled(request, height, width)
    plan = UovPlan(
        image=picture,
        loc=UOV_IMAGE,
        upscaled=not varied,
        factor=1.0 if varied else request.advanced.upscale_value or UPSCALE_FACTOR[request.uov_method],
        height=size.image[0],
        width=size.image[1],
        diffused=size.denoise > 0,
        tiled=size.tiled,
    )
    advanced = request.advanced
    strength = advanced.overwrite_vary_strength if varied else advanced.overwrite_upscale_strength
    return (Uov(plan, strength or size.denoise, fewer_steps=not varied),)


def _upscaled(request: ImagePromptRequest | UpscaleOrVaryRequest, height: int, width: int) -> UovSize:
    if height * width > LARGEST_UPSCALED:
        message = f"The image is too large to upscale: at most {LARGEST_UPSCALED} pixels, it has {height * width}"
        raise ImageTooLarge(UOV_IMAGE, message=message, max_pixels=LARGEST_UPSCALED)
    size = upscale_size(height, width, request.uov_method, request.advanced.upscale_value)
    check_result(*size.image, UOV_IMAGE)
    return size


def is_upscale(method: UovMethod) -> bool:
    """Whether a method enlarges."""
    return method is not UovMethod.DISABLED and method not in VARY_DENOISE


