"""Inpainting's functions of pictures: masks, the part worked on, filling, pasting back, room for outpainting."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.parity.areas.esrgan import any_upscaler
from benchmarks.parity.kind import Kind, Results, has_rows_of
from benchmarks.parity.networks import Networks
from benchmarks.parity.vectors import EXPECTED, INPUT, Case
from handler.engine.inpaint.start import working_part
from handler.pixels import masks
from handler.pixels.crop import around_mask, work_box
from handler.pixels.fill import blurred_fill
from handler.pixels.outpaint import extended
from handler.pixels.paste import pasted
from handler.pixels.resize import lanczos, three_channels
from handler.plan.inpaint import Settings, assembled_mask, inpaint_plan, margins_of
from handler.plan.plan import Box
from schemas.enums import OutpaintSide
from schemas.request import InpaintRequest

MORPHED = "erode_or_dilate_"
BRIGHTER = "up255_"


def boxes(case: Case, networks: Networks) -> Results:
    return {"expected_json": [row | _boxes(row) for row in case.expected_json]}


def _boxes(row: dict[str, Any]) -> dict[str, Any]:
    mask = np.zeros((row["height"], row["width"]), np.uint8)
    for top, bottom, left, right, value in row["rects_top_bottom_left_right_value"]:
        mask[top:bottom, left:right] = value
    return {"initial_box": _sides(around_mask(mask)), "box": _sides(work_box(mask, row["field"]))}


def _sides(box: Box) -> list[int]:
    return [box.top, box.bottom, box.left, box.right]


def part(case: Case, networks: Networks) -> Results:
    """The whole way to the part that is worked on."""
    given = case.parameters
    picture, mask = case.picture("image.png"), case.picture("mask.png")
    settings = Settings(field=given["field"], strength=1.0 if given["use_fill"] else 0.5)
    made = working_part(inpaint_plan(picture, mask, settings), any_upscaler(case).upscale)
    stride = slice(None, None, given["stride"])
    return {
        "interested_image": made.picture[stride, stride],
        "interested_mask": made.mask[stride, stride],
        "interested_fill": made.filled[stride, stride],
        "soft_mask.png": masks.soft(mask),
    }


def fill(case: Case, networks: Networks) -> Results:
    return {"filled.png": blurred_fill(case.picture("image.png"), case.picture("mask.png"))}


def paste(case: Case, networks: Networks) -> Results:
    picture, mask, result = (case.picture(f"{name}.png") for name in ("image", "mask", "result"))
    return {"pasted.png": pasted(picture, mask, Box(*case.parameters["box"]), result)}


def outpaint(case: Case, networks: Networks) -> Results:
    """Strength and field are forced to 1 by `plan_inpaint`; here it is the room that is compared."""
    picture, mask = case.picture("image.png"), case.picture("mask.png")
    sides = tuple(OutpaintSide(side.capitalize()) for side in case.parameters["sides"])
    request = InpaintRequest(inpaint_image_url="", outpaint_selections=sides)
    room, marked = extended(picture, mask, margins_of(request, *mask.shape))
    return {"padded.png": room, "padded_mask.png": marked}


def assembled(case: Case, networks: Networks) -> Results:
    """A brush's strokes, and a picture of a mask, itself painted on, in any size."""
    given = case.parameters
    picture, mask = three_channels(case.picture("image.png")), case.picture("brush.png")
    if given["advanced_masking"] and given["upload"]:
        drawn = three_channels(case.picture("uploaded_image.png"))
        if "uploaded_brush.png" in case.files(INPUT):
            drawn = np.maximum(drawn, three_channels(case.picture("uploaded_brush.png")))
        mask = np.maximum(mask, masks.from_picture(lanczos(drawn, mask.shape[1], mask.shape[0])))
    settings = Settings(grow=given["erode_or_dilate"], invert=given["invert"])
    return {"inpaint_image.png": picture, "inpaint_mask.png": assembled_mask(mask, settings)}


def morphed(case: Case, networks: Networks) -> Results:
    return {name: _morphed(case.picture("mask.png"), name.removesuffix(".png")) for name in case.files(EXPECTED)}


def _morphed(mask: np.ndarray, name: str) -> np.ndarray | None:
    if name.startswith(MORPHED):
        return masks.erode_or_dilate(mask, int(name.removeprefix(MORPHED)))
    if name.startswith(BRIGHTER):
        return masks.marked(mask, int(name.removeprefix(BRIGHTER)))
    return {"soft": masks.soft, "inverted": lambda mask: 255 - mask}[name](mask)


KINDS = (
    Kind(lambda case: has_rows_of(case, "initial_box", "box", "field"), boxes),
    Kind(lambda case: case.has(EXPECTED, "interested_image", "interested_mask"), part),
    Kind(lambda case: case.has(EXPECTED, "filled.png"), fill),
    Kind(lambda case: case.has(EXPECTED, "pasted.png"), paste),
    Kind(lambda case: case.has(EXPECTED, "padded.png", "padded_mask.png"), outpaint),
    Kind(lambda case: case.has(EXPECTED, "inpaint_mask.png"), assembled),
    Kind(lambda case: any(name.startswith(MORPHED) for name in case.files(EXPECTED)), morphed),
)
