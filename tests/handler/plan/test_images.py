"""Which pictures count: switches to mix, the fields they come from, and fields that contradict one another."""

from __future__ import annotations

import numpy as np
import pytest

from handler.plan.combinations import refuse_nonsense
from handler.plan.controls import plan_controls
from handler.plan.images import Goals, goals, image_sources
from schemas.errors import InvalidInput
from schemas.request import parse_request

SLOT = {"image_url": "a", "type": "CPDS", "stop_at": 0.25, "weight": 0.5}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, Goals(False, False, False)),
        ({"control_image_url": "a"}, Goals(True, False, False)),
        ({"control_image_url": "a", "inpaint_image_url": "b"}, Goals(False, True, False)),
        (
            {"control_image_url": "a", "inpaint_image_url": "b", "mixing_image_prompt_and_inpaint": True},
            Goals(True, True, False),
        ),
        ({"endpoint": "inpaint", "inpaint_image_url": "b", "image_prompt_2": SLOT}, Goals(False, True, False)),
        (
            {
                "endpoint": "inpaint",
                "inpaint_image_url": "b",
                "image_prompt_2": SLOT,
                "mixing_image_prompt_and_inpaint": True,
            },
            Goals(True, True, False),
        ),
        ({"endpoint": "image-prompt", "image_prompt_1": SLOT, "inpaint_image_url": "b"}, Goals(True, False, False)),
        ({"endpoint": "image-prompt", "image_prompt_1": {}, "inpaint_image_url": "b"}, Goals(False, True, False)),
        (
            {"endpoint": "image-prompt", "image_prompt_1": SLOT, "uov_image_url": "b", "uov_method": "Vary (Subtle)"},
            Goals(True, False, False),
        ),
        ({"endpoint": "upscale-or-vary", "uov_image_url": "b", "image_prompt_1": SLOT}, Goals(False, False, True)),
        (
            {
                "endpoint": "upscale-or-vary",
                "uov_image_url": "b",
                "image_prompt_1": SLOT,
                "mixing_image_prompt_and_vary_upscale": True,
            },
            Goals(True, False, True),
        ),
        ({"endpoint": "upscale-or-vary", "uov_image_url": "b", "uov_method": "Disabled"}, Goals(False, False, False)),
    ],
)
def test_one_purpose_unless_mixed(body: dict, wanted: Goals) -> None:
    assert goals(parse_request(body)) == wanted


def test_only_pictures_that_count_are_fetched_each_by_its_field() -> None:
    body = {"endpoint": "inpaint", "inpaint_image_url": "b", "mask_image_url": "c", "image_prompt_4": SLOT}
    assert image_sources(parse_request(body)) == {("body", "inpaint_image_url"): "b", ("body", "mask_image_url"): "c"}
    mixed = image_sources(parse_request(body | {"mixing_image_prompt_and_inpaint": True}))
    assert mixed[("body", "image_prompt_4", "image_url")] == "a"
    assert image_sources(parse_request({"control_image_url": "d"})) == {("body", "control_image_url"): "d"}
    assert image_sources(parse_request({"endpoint": "inpaint", "inpaint_image_url": ""})) != {}


def test_controls_of_the_plan() -> None:
    picture = np.zeros((4, 4, 4), np.uint8)
    advanced = {"canny_low_threshold": 1, "canny_high_threshold": 2, "controlnet_softness": 0.5}
    body = {"endpoint": "image-prompt", "image_prompt_1": SLOT, "image_prompt_3": SLOT | {"weight": 0}}
    request = parse_request(body | {"advanced": advanced | {"skipping_cn_preprocessor": True}})
    images = {("body", f"image_prompt_{number}", "image_url"): picture for number in (1, 3)}
    (control,) = plan_controls(request, images)
    assert (control.kind, control.weight, control.stop_at, control.loc[1]) == ("CPDS", 0.5, 0.25, "image_prompt_1")
    assert (control.canny_low, control.canny_high, control.softness, control.skip_preprocessing) == (1, 2, 0.5, True)
    assert control.image.shape == (4, 4, 3)
    assert control.image.min() == 255


@pytest.mark.parametrize(
    ("body", "locs"),
    [
        ({"mask_image_url": "a"}, [["mask_image_url"]]),
        (
            {"endpoint": "image-prompt", "image_prompt_1": {}, "outpaint_selections": ["Left"]},
            [["outpaint_selections"]],
        ),
        ({"advanced": {"outpaint_distances": {"left": 8}}}, [["advanced", "outpaint_distances"]]),
        ({"advanced": {"upscale_value": 2}}, [["advanced", "upscale_value"]]),
        (
            {
                "endpoint": "upscale-or-vary",
                "uov_image_url": "a",
                "uov_method": "Vary (Subtle)",
                "advanced": {"upscale_value": 2},
            },
            [["advanced", "upscale_value"]],
        ),
        ({"endpoint": "image-prompt", "image_prompt_1": {}, "uov_method": "Vary (Subtle)"}, [["uov_image_url"]]),
        ({"endpoint": "inpaint", "inpaint_image_url": "a"}, [["mask_image_url"]]),
        (
            {
                "endpoint": "inpaint",
                "inpaint_image_url": "a",
                "mask_image_url": "b",
                "outpaint_selections": ["Left"],
                "inpaint_mode": "Improve Detail (face, hand, eyes, etc.)",
            },
            [["outpaint_selections"]],
        ),
        (
            {
                "endpoint": "image-prompt",
                "image_prompt_1": {},
                "inpaint_image_url": "a",
                "mask_image_url": "b",
                "uov_image_url": "c",
                "uov_method": "Upscale (2x)",
            },
            [["uov_method"]],
        ),
    ],
)
def test_fields_that_contradict_one_another_are_refused_by_name(body: dict, locs: list) -> None:
    with pytest.raises(InvalidInput) as raised:
        refuse_nonsense(parse_request(body))
    assert [detail["loc"] for detail in raised.value.details] == [["body", *loc] for loc in locs]


def test_what_makes_sense_is_not_refused() -> None:
    for body in (
        {},
        {"endpoint": "describe", "image_url": "a"},
        {"endpoint": "inpaint", "inpaint_image_url": "a", "outpaint_selections": ["Top"]},
        {"endpoint": "upscale-or-vary", "uov_image_url": "a", "uov_method": "Disabled"},
        {"advanced": {"overwrite_vary_strength": 0.5}},
    ):
        refuse_nonsense(parse_request(body))
