"""Plans of requests that bring pictures, without files or networks."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from handler.plan.build import PlanSources, build_plan
from handler.plan.images import Images
from handler.plan.inpaint import FindInpaintNetwork
from handler.plan.plan import Plan
from handler.plan.prompt.expansion import pick_words
from handler.plan.prompt.process import PromptSources
from handler.plan.prompt.styles import BUNDLED, load_styles
from schemas.request import parse_request

MODELS = Path("/models")
HEAD, PATCH = MODELS / "head.pth", MODELS / "a.patch"
PLAIN = {"styles": [], "loras": [], "performance": "Speed", "seed": 3}

SOURCES = PlanSources(
    prompts=PromptSources(load_styles(BUNDLED), pick_words),
    lora_files=("sdxl_lcm_lora.safetensors",),
    find_lora=lambda name, loc: MODELS / "loras" / name,
    allow_unchecked=True,
    base=MODELS / "base.safetensors",
    find_checkpoint=lambda name, loc: MODELS / name,
    find_vae=lambda name, loc: MODELS / name,
    find_inpaint_network=lambda engine, loc: () if engine == "None" else ((HEAD, PATCH),),
)


def plan_of(images: Images, find: FindInpaintNetwork | None = None, **body: Any) -> Plan:
    """The plan of a request; its pictures are not looked up by what its fields say. find: of inpaint networks."""
    sources = replace(SOURCES, find_inpaint_network=find) if find else SOURCES
    return build_plan(parse_request(PLAIN | body), "job", sources, images)


def picture(height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3], another colour everywhere."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1).astype(np.uint8)


def uri(pixels: np.ndarray) -> str:
    """The picture as a data URI."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def mask_with(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    """A picture of a mask, uint8 [height, width, 3], white there."""
    mask = np.zeros((height, width, 3), np.uint8)
    mask[rows, columns] = 255
    return mask
