"""Models of single features, loaded before the first job: the smallest job of each feature is rendered once.

So whatever a job of the feature needs under default settings is there, merged with the default LoRAs where it is merged
with them at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from handler.generation import Render
from handler.plan.build import PlanSources, build_plan
from handler.plan.images import image_sources
from handler.settings import Preload
from schemas.enums import ControlType, Endpoint, Performance, UovMethod
from schemas.request import parse_request

SIDE = 64
URL = "data:image/png;base64,"
"""Stands where a request names a picture; the pictures are given beside it."""
SMALLEST = {
    "prompt": "warm up",
    "styles": [],
    "performance": Performance.SPEED,
    "aspect_ratio": "256x256",
    "advanced": {"overwrite_step": 1},
}
WITH_IMAGE: Mapping[Preload, Mapping[str, Any]] = {
    Preload.CANNY: {"control_image_url": URL, "control_type": ControlType.PYRA_CANNY},
    Preload.CPDS: {"control_image_url": URL, "control_type": ControlType.CPDS},
    Preload.IMAGE_PROMPT: {"control_image_url": URL, "control_type": ControlType.IMAGE_PROMPT},
    Preload.FACE_SWAP: {"control_image_url": URL, "control_type": ControlType.FACE_SWAP},
    Preload.UPSCALE: {
        "endpoint": Endpoint.UPSCALE_OR_VARY,
        "uov_image_url": URL,
        "uov_method": UovMethod.UPSCALE_FAST_2,
    },
    Preload.INPAINT: {"endpoint": Endpoint.INPAINT, "inpaint_image_url": URL, "mask_image_url": URL},
}


def load_features(
    wanted: Sequence[Preload], render: Render, sources: PlanSources, load_describers: Callable[[], None]
) -> None:
    """In the thread that owns the device. load_describers: loads what describes pictures.

    Raises FooocusError for what is not installed or cannot be used.
    """
    for feature in wanted:
        if feature is Preload.DESCRIBE:
            load_describers()
        else:
            _render_once(SMALLEST | WITH_IMAGE[feature], render, sources)


def _render_once(body: Mapping[str, Any], render: Render, sources: PlanSources) -> None:
    request = parse_request(body)
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    plan = build_plan(request, "preload", sources, dict.fromkeys(image_sources(request), white))
    for _ in render(plan, lambda step: None):
        pass
