"""Control images of all kinds through a worker: they act by weight and stop, together, and bad files are named."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from diffusers import UNet2DConditionModel
from PIL import Image, ImageDraw

from tests.e2e.jobs import Fields, pixels, small
from tests.support.client import Client
from tests.support.controls import CANNY, random_controlnet, write_image_prompts, write_ldm_file
from tests.support.models import DEMO_CHECKPOINT
from tests.support.worker import WorkerProcess

KINDS = ("PyraCanny", "ImagePrompt", "FaceSwap")


def drawing() -> str:
    """A data URI of a shape on a plain background."""
    image = Image.new("RGB", (150, 110), "white")
    ImageDraw.Draw(image).ellipse((40, 20, 110, 90), fill="black")
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


DRAWING = drawing()


@pytest.fixture(scope="module")
def control_files(worker: WorkerProcess) -> Path:
    """The worker's folder of control models, with random ones for its demo model; one is damaged."""
    models = worker.home / "models"
    config = UNet2DConditionModel.load_config(DEMO_CHECKPOINT / "unet")
    unet = UNet2DConditionModel.from_config(config)
    write_image_prompts(models, unet, scale=4.0)
    write_ldm_file(models / "controlnet" / CANNY, random_controlnet(unet))
    return models / "controlnet"


def slots(*kinds: str, **options: Any) -> Fields:
    prompts = {
        f"image_prompt_{number}": {"type": kind, "image_url": DRAWING, "weight": 1.0, "stop_at": 1.0, **options}
        for number, kind in enumerate(kinds, 1)
    }
    return small(endpoint="image-prompt", **prompts)


def controlled(**options: Any) -> Fields:
    return small(control_image_url=DRAWING, **{f"control_image_{name}": value for name, value in options.items()})


def test_the_base_endpoints_control_image(client: Client, control_files: Path, reference: bytes) -> None:
    asked = [controlled(), controlled(stop_at=0.4), controlled(weight=0.5), controlled(weight=0), controlled()]
    ids = [client.run(body) for body in asked]
    full, short, half, nothing, again = (pixels(client.result(job_id))[0] for job_id in ids)
    assert nothing == reference
    assert full == again
    assert len({full, short, half, reference}) == 4


def test_slots_of_every_kind_alone_and_together(client: Client, control_files: Path, reference: bytes) -> None:
    bodies = [slots(kind) for kind in KINDS] + [slots(*KINDS, weight=0.5)]
    made = [pixels(record)[0] for record in map(client.result, [client.run(body) for body in bodies])]
    assert len({*made, reference}) == len(KINDS) + 2
    skipped = client.done(slots("PyraCanny") | {"advanced": {"overwrite_step": 4, "skipping_cn_preprocessor": True}})
    assert pixels(skipped)[0] != made[0]


def test_mixing_with_inpaint_and_vary(client: Client, control_files: Path) -> None:
    slot = {"image_prompt_1": {"type": "PyraCanny", "image_url": DRAWING, "weight": 1.0, "stop_at": 1.0}}
    inpaint = small(endpoint="inpaint", inpaint_image_url=DRAWING, mask_image_url=DRAWING, invert_mask=True, **slot)
    vary = small(endpoint="upscale-or-vary", uov_image_url=DRAWING, uov_method="Vary (Strong)", **slot)
    for body, switch in ((inpaint, "mixing_image_prompt_and_inpaint"), (vary, "mixing_image_prompt_and_vary_upscale")):
        apart, mixed = (client.result(job_id) for job_id in [client.run(body), client.run(body | {switch: True})])
        assert pixels(apart) != pixels(mixed)
