"""Fields that make no sense together are refused by name; nothing is fetched for them."""

from __future__ import annotations

from collections.abc import Iterator

from handler.plan.images import MASK_IMAGE, UOV_IMAGE, goals, has_inpaint_image, has_uov_image
from handler.plan.uov import is_upscale
from schemas.enums import InpaintMode, UovMethod
from schemas.errors import FieldError, InvalidInput, Location
from schemas.request import GenerationRequest, Request

OUTPAINT: Location = ("body", "outpaint_selections")
DISTANCES: Location = ("body", "advanced", "outpaint_distances")
UPSCALE_VALUE: Location = ("body", "advanced", "upscale_value")
METHOD: Location = ("body", "uov_method")


def refuse_nonsense(request: Request) -> None:
    """Raise InvalidInput listing every field of `request` that contradicts another one."""
    errors = list(_nonsense(request)) if isinstance(request, GenerationRequest) else []
    if errors:
        raise InvalidInput.joined(errors)


def _nonsense(request: GenerationRequest) -> Iterator[FieldError]:
    wanted = goals(request)
    method = getattr(request, "uov_method", UovMethod.DISABLED)
    if not has_inpaint_image(request):
        yield from _without_picture(request)
    elif wanted.inpaint:
        yield from _outpainting(request)
    if wanted.inpaint and wanted.uov:
        yield FieldError(METHOD, input=method, message="A picture is either inpainted or upscaled or varied, not both")
    if method is not UovMethod.DISABLED and not has_uov_image(request):
        yield FieldError(UOV_IMAGE, message="There is no image to upscale or vary")
    if request.advanced.upscale_value is not None and not is_upscale(method):
        yield FieldError(UPSCALE_VALUE, message="Only an upscale method has a factor")


def _without_picture(request: GenerationRequest) -> Iterator[FieldError]:
    for loc, value in (
        (MASK_IMAGE, getattr(request, "mask_image_url", None)),
        (OUTPAINT, getattr(request, "outpaint_selections", ())),
        (DISTANCES, request.advanced.outpaint_distances),
    ):
        if value:
            yield FieldError(loc, message="There is no inpaint_image_url for it")


def _outpainting(request: GenerationRequest) -> Iterator[FieldError]:
    """Only the default mode outpaints, and it needs a mask or a side."""
    mode = getattr(request, "inpaint_mode", InpaintMode.DEFAULT)
    sides = ((OUTPAINT, getattr(request, "outpaint_selections", ())), (DISTANCES, request.advanced.outpaint_distances))
    chosen = [loc for loc, value in sides if value]
    if mode is not InpaintMode.DEFAULT:
        yield from (FieldError(loc, message=f"The mode '{mode}' does not outpaint") for loc in chosen)
    if not chosen and not getattr(request, "mask_image_url", None):
        yield FieldError(MASK_IMAGE, message="A mask, or a side to outpaint, must say where to paint")
