"""Every advanced parameter takes what its range allows, ends included, and nothing beside it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.doors.fooocus_api.canonical import canonical
from gateway.doors.fooocus_api.route import checked
from schemas.enums import InpaintEngine, RefinerSwapMethod, Sampler, Scheduler
from schemas.errors import InvalidInput
from schemas.fooocus_api.advanced import AdvancedParams
from schemas.fooocus_api.requests import TextToImageRequest
from schemas.request import parse_request

REAL: dict[str, tuple[float, float]] = {
    "adm_scaler_positive": (0.1, 3), "adm_scaler_negative": (0.1, 3), "adm_scaler_end": (0, 1), "adaptive_cfg": (1, 30),
    "overwrite_vary_strength": (-1, 1), "overwrite_upscale_strength": (-1, 1), "controlnet_softness": (0, 1),
    "freeu_b1": (0, 2), "freeu_b2": (0, 2), "freeu_s1": (0, 4), "freeu_s2": (0, 4), "inpaint_strength": (0, 1),
    "inpaint_respective_field": (0, 1),
}  # fmt: skip
WHOLE: dict[str, tuple[int, int]] = {
    "clip_skip": (1, 12), "overwrite_step": (-1, 200), "overwrite_switch": (-1, 200), "overwrite_width": (-1, 2048),
    "overwrite_height": (-1, 2048), "canny_low_threshold": (1, 255), "canny_high_threshold": (1, 255),
    "inpaint_erode_or_dilate": (-64, 64),
}  # fmt: skip
SWITCHES = {
    "disable_preview", "disable_intermediate_results", "disable_seed_increment", "mixing_image_prompt_and_vary_upscale",
    "mixing_image_prompt_and_inpaint", "skipping_cn_preprocessor", "freeu_enabled", "inpaint_disable_initial_latent",
    "inpaint_mask_upload_checkbox", "inpaint_advanced_masking_checkbox", "invert_mask_checkbox", "black_out_nsfw",
}  # fmt: skip
ALWAYS_OFF = {"debugging_cn_preprocessor", "debugging_inpaint_preprocessor"}
NAMES: dict[str, tuple[str, ...]] = {
    "refiner_swap_method": tuple(RefinerSwapMethod), "sampler_name": (*Sampler, "default_sampler"),
    "scheduler_name": (*Scheduler, "default_scheduler"), "inpaint_engine": tuple(InpaintEngine),
}  # fmt: skip

GOOD = [
    *((name, value) for name, ends in (REAL | WHOLE).items() for value in ends),
    *((name, value) for name in sorted(SWITCHES) for value in (True, False)),
    *((name, False) for name in sorted(ALWAYS_OFF)),
    *((name, value) for name, values in NAMES.items() for value in values),
    ("vae_name", "Default (model)"),
    ("vae_name", "other.safetensors"),
]
BAD = [
    *((name, value) for name, (low, high) in REAL.items() for value in (low - 0.01, high + 0.01, "much", True)),
    *((name, value) for name, (low, high) in WHOLE.items() for value in (low - 1, high + 1, 2.5, True)),
    *((name, "perhaps") for name in sorted(SWITCHES)),
    *((name, True) for name in sorted(ALWAYS_OFF)),
    *((name, "magic") for name in NAMES),
    ("vae_name", 5),
    ("vae_name", "x" * 256),
    *(("overwrite_switch", share) for share in (1.5, 199.5)),
]


def accepted(name: str, value: Any) -> None:
    body = checked(TextToImageRequest, {"advanced_params": {name: value}})
    parse_request(canonical(body))


def test_every_parameter_is_in_the_table() -> None:
    assert REAL.keys() | WHOLE.keys() | SWITCHES | ALWAYS_OFF | NAMES.keys() | {"vae_name"} == (
        AdvancedParams.model_fields.keys()
    )


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_the_ends_of_a_range_are_taken(name: str, value: Any) -> None:
    accepted(name, value)


@pytest.mark.parametrize(("name", "value"), BAD)
def test_what_is_beside_it_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput):
        accepted(name, value)
