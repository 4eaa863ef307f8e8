"""What control images become before a network sees them."""

from __future__ import annotations

import numpy as np

from handler.pixels.canny import pyra_canny
from handler.pixels.cpds import cpds
from handler.pixels.faces import FindFace, face_crop
from handler.pixels.resize import resize, three_channels
from handler.plan.plan import ControlPlan
from schemas.enums import ControlType


def hint_picture(control: ControlPlan, width: int, height: int) -> np.ndarray:
    """What a ControlNet is given: uint8 [height, width, 3]. The picture fills the frame; the rest is cut away."""
    fitted = resize(control.image, width, height)
    if control.skip_preprocessing:
        return fitted
    if control.kind is ControlType.CPDS:
        return three_channels(cpds(fitted))
    return three_channels(pyra_canny(fitted, control.canny_low, control.canny_high))


def prompt_picture(control: ControlPlan, find_face: FindFace) -> np.ndarray:
    """What an image prompt's encoder is given, uint8 [h, w, 3] of any size."""
    if control.kind is ControlType.FACE_SWAP and not control.skip_preprocessing:
        return face_crop(control.image, find_face)
    return control.image
