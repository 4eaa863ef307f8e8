"""Inpainting and outpainting: the picture, its mask, the part that is worked on, and what makes the network repaint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from handler.pixels import masks
from handler.pixels.crop import work_box
from handler.pixels.outpaint import Margins, extended
from handler.pixels.resize import three_channels
from handler.plan.images import INPAINT_IMAGE, MASK_IMAGE, Images, goals
from handler.plan.limits import check_given, check_result
from handler.plan.plan import Box, InpaintNetworkPlan, InpaintPlan
from handler.plan.refiner import switch_step
from handler.plan.sizes import SMALLEST_CLASS, UPSCALER_FACTOR, Size, fit_class, size_class, whole_latents
from schemas.enums import InpaintEngine, InpaintMode, OutpaintSide
from schemas.errors import FieldError, Location
from schemas.parts import OutpaintDistances
from schemas.request import GenerationRequest, ImagePromptRequest, InpaintRequest, TextToImageRequest

Repainting = TextToImageRequest | InpaintRequest | ImagePromptRequest
NetworkFiles = tuple[tuple[Path, Path], ...]
FindInpaintNetwork = Callable[[InpaintEngine, Location], NetworkFiles]
"""(engine; the field that chose it) -> its head and patch, none for the engine None, or raises ModelMissing."""

ENGINE: Location = ("body", "inpaint_engine")
OUTPAINTED_SHARE = 0.3
"""Of the picture's side, what a chosen side adds."""
ALL_ANEW = 0.99
"""From this strength on nothing of the old place is kept, and it is filled with its surroundings first."""
SYNTHETIC_SWITCH = 0.8
"""The share of the steps after which the network repaints without the help of head and patch."""


@dataclass(frozen=True)
class Settings:
    """How a picture is repainted. strength, field: 0..1. grow: pixels by which the mask grows, negative: shrinks."""

    engine: InpaintEngine = InpaintEngine.V26
    strength: float = 1.0
    field: float = 0.618
    from_fill: bool = True
    grow: int = 0
    invert: bool = False


MODES = {
    InpaintMode.DEFAULT: Settings(),
    InpaintMode.IMPROVE_DETAIL: Settings(engine=InpaintEngine.NONE, strength=0.5, field=0.0),
    InpaintMode.MODIFY_CONTENT: Settings(field=0.0, from_fill=False),
}


@dataclass(frozen=True)
class Inpaint:
    """What is repainted, how much of it is made anew (0..1), and the files of the network for it, one pair or none."""

    plan: InpaintPlan
    denoise: float
    files: NetworkFiles


def plan_inpaint(request: GenerationRequest, images: Images, find_network: FindInpaintNetwork) -> tuple[Inpaint, ...]:
    """One or none. Raises InvalidInput for pictures that do not fit, ModelMissing for an engine's files."""
    if not isinstance(request, Repainting) or not goals(request).inpaint:
        return ()
    settings = settings_of(request)
    picture = three_channels(images[INPAINT_IMAGE])
    check_given(*picture.shape[:2], INPAINT_IMAGE)
    mask = assembled_mask(_mask(images, picture), settings)
    margins = margins_of(request, *picture.shape[:2])
    if margins != Margins():
        size = margins.added_to(*picture.shape[:2])
        check_given(*size, INPAINT_IMAGE)
        check_result(*size, INPAINT_IMAGE)
        picture, mask = extended(picture, mask, margins)
        settings = replace(settings, strength=1.0, field=1.0)
    if not (mask > masks.THRESHOLD).any():
        raise FieldError(MASK_IMAGE, message="Nothing is marked to be repainted, and no side to outpaint is chosen")
    plan = inpaint_plan(picture, mask, settings)
    return (Inpaint(plan, settings.strength, find_network(settings.engine, ENGINE)),)


def inpaint_plan(picture: np.ndarray, mask: np.ndarray, settings: Settings) -> InpaintPlan:
    """The plan of a picture [h, w, 3] and a mask [h, w] with something marked, no network yet."""
    box = work_box(mask, settings.field)
    height, width = work_size(box)
    return InpaintPlan(
        image=picture,
        mask=mask,
        loc=INPAINT_IMAGE,
        box=box,
        upscaled=_is_small(box),
        height=height,
        width=width,
        filled=settings.strength > ALL_ANEW,
        from_fill=settings.from_fill,
        network=(),
    )


def settings_of(request: Repainting) -> Settings:
    """The mode's settings, or the request's own where it overrides them."""
    settings = MODES[getattr(request, "inpaint_mode", InpaintMode.DEFAULT)]
    if not isinstance(request, InpaintRequest):
        return settings
    if request.override_inpaint_options:
        settings = Settings(
            engine=request.inpaint_engine,
            strength=request.inpaint_strength,
            field=request.inpaint_respective_field,
            from_fill=not request.inpaint_disable_initial_latent,
            grow=int(request.inpaint_erode_or_dilate),
        )
    return replace(settings, invert=request.invert_mask)


def assembled_mask(mask: np.ndarray, settings: Settings) -> np.ndarray:
    """uint8 [h, w] as drawn -> as it is used."""
    mask = masks.erode_or_dilate(mask, settings.grow)
    return 255 - mask if settings.invert else mask


def margins_of(request: Repainting, height: int, width: int) -> Margins:
    """What outpainting adds: the distance asked for, or a share of the picture for a side that is only named."""
    named = getattr(request, "outpaint_selections", ())
    distances = request.advanced.outpaint_distances or OutpaintDistances()
    tall, wide = int(OUTPAINTED_SHARE * height), int(OUTPAINTED_SHARE * width)
    return Margins(
        left=distances.left or wide * (OutpaintSide.LEFT in named),
        right=distances.right or wide * (OutpaintSide.RIGHT in named),
        top=distances.top or tall * (OutpaintSide.TOP in named),
        bottom=distances.bottom or tall * (OutpaintSide.BOTTOM in named),
    )


def work_size(box: Box) -> Size:
    """The size the part is brought to: about a megapixel, whole latent pixels."""
    enlarged = UPSCALER_FACTOR if _is_small(box) else 1
    return whole_latents(fit_class(box.height * enlarged, box.width * enlarged, SMALLEST_CLASS))


def network_plan(inpaint: Inpaint, request: GenerationRequest, steps: int, refined: bool) -> InpaintPlan:
    """The plan with its network. refined: whether a refiner takes over, which is never a network that repaints."""
    advanced = request.advanced
    switch = steps if refined else advanced.overwrite_switch or switch_step(steps, SYNTHETIC_SWITCH)
    network = tuple(
        InpaintNetworkPlan(head, patch, ENGINE, switch, advanced.refiner_swap_method) for head, patch in inpaint.files
    )
    return replace(inpaint.plan, network=network)


def _mask(images: Images, picture: np.ndarray) -> np.ndarray:
    """uint8 [h, w]: as the request draws it, or nothing marked."""
    height, width = picture.shape[:2]
    if MASK_IMAGE not in images:
        return np.zeros((height, width), np.uint8)
    drawn = images[MASK_IMAGE]
    if drawn.shape[:2] != (height, width):
        size = f"{drawn.shape[1]}x{drawn.shape[0]}"
        message = f"The mask must have the size of the image, {width}x{height}; it has {size}"
        raise FieldError(MASK_IMAGE, message=message)
    return masks.from_picture(drawn)


def _is_small(box: Box) -> bool:
    return size_class(box.height, box.width) < SMALLEST_CLASS
