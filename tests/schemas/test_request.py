"""Requests are validated as fal validates them: same defaults, same ranges, same 422 detail."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest

from schemas.enums import Endpoint
from schemas.errors import InvalidInput
from schemas.request import DEFAULT_STYLES, OFFSET_LORA, REQUESTS, parse_request
from schemas.style_names import STYLE_NAMES

PICTURE = "https://example.com/a.png"
REQUIRED = {
    "": {},
    "inpaint": {"inpaint_image_url": PICTURE},
    "image-prompt": {"image_prompt_1": {"image_url": PICTURE}},
    "upscale-or-vary": {"uov_image_url": PICTURE},
    "describe": {"image_url": PICTURE},
    "enhance": {"image_url": PICTURE},
    "generate-mask": {"image_url": PICTURE},
}


def details(body: object) -> list[dict]:
    with pytest.raises(InvalidInput) as raised:
        parse_request(body)
    assert raised.value.status == 422
    json.dumps(raised.value.detail, allow_nan=False)
    return raised.value.detail


def test_empty_body_is_the_base_endpoint_with_fal_defaults() -> None:
    request = parse_request({})
    assert request.endpoint is Endpoint.TEXT_TO_IMAGE
    assert request.styles == DEFAULT_STYLES
    assert request.loras == (OFFSET_LORA,)
    assert request.loras[0].scale == 0.1
    expected = {
        "prompt": "", "negative_prompt": "", "performance": "Extreme Speed", "guidance_scale": 4,
        "sharpness": 2,
        "aspect_ratio": "1024x1024", "num_images": 1, "refiner_model": "None", "refiner_switch": 0.8,
        "output_format": "jpeg", "sync_mode": False, "seed": None, "enable_safety_checker": True,
        "control_image_url": None, "control_type": "PyraCanny", "control_image_weight": 1,
        "control_image_stop_at": 1, "inpaint_image_url": None, "mask_image_url": None,
        "mixing_image_prompt_and_inpaint": False,
    }  # fmt: skip
    assert {name: getattr(request, name) for name in expected} == expected


def test_omitted_loras_and_none_differ() -> None:
    assert parse_request({"loras": []}).loras == ()
    assert parse_request({"loras": None}).loras == (OFFSET_LORA,)


@pytest.mark.parametrize("endpoint", list(Endpoint))
def test_required_fields(endpoint: Endpoint) -> None:
    body = {"endpoint": str(endpoint), **REQUIRED[endpoint]}
    assert parse_request(body).endpoint is endpoint
    for name in REQUIRED[endpoint]:
        without = {key: value for key, value in body.items() if key != name}
        assert details(without) == [{"loc": ["body", name], "msg": "Field required", "type": "missing"}]


def test_sibling_defaults() -> None:
    inpaint = parse_request({"endpoint": "inpaint", **REQUIRED["inpaint"]})
    assert inpaint.inpaint_engine == "v2.6"
    assert inpaint.inpaint_respective_field == 0.618
    assert inpaint.inpaint_mode == "Inpaint or Outpaint (default)"
    assert parse_request({"endpoint": "image-prompt", **REQUIRED["image-prompt"]}).uov_method == "Disabled"
    upscale = parse_request({"endpoint": "upscale-or-vary", **REQUIRED["upscale-or-vary"]})
    assert upscale.uov_method == "Vary (Strong)"
    slot = parse_request({"endpoint": "image-prompt", "image_prompt_1": {}}).image_prompt_1
    assert (slot.type, slot.stop_at, slot.weight, slot.image_url) == ("ImagePrompt", 0.5, 1.0, None)


def test_unknown_keys_are_ignored_at_every_level() -> None:
    body = {"nonsense": 1, "loras": [{"path": "x", "extra": 2}], "advanced": {"clip_skip": 3, "foo": "bar"}}
    request = parse_request(body)
    assert request.loras[0].path == "x"
    assert request.advanced.clip_skip == 3


@pytest.mark.parametrize(
    ("body", "loc", "kind", "ctx"),
    [
        ({"num_images": 5}, ["num_images"], "less_than_equal", {"le": 4}),
        ({"num_images": 0}, ["num_images"], "greater_than_equal", {"ge": 1}),
        ({"num_images": True}, ["num_images"], "int_type", None),
        ({"num_images": 1.5}, ["num_images"], "int_from_float", None),
        ({"num_images": "many"}, ["num_images"], "int_parsing", None),
        ({"guidance_scale": 0.99}, ["guidance_scale"], "greater_than_equal", {"ge": 1.0}),
        ({"guidance_scale": 31}, ["guidance_scale"], "less_than_equal", {"le": 30.0}),
        ({"guidance_scale": math.nan}, ["guidance_scale"], "less_than_equal", {"le": 30.0}),
        ({"guidance_scale": math.inf}, ["guidance_scale"], "less_than_equal", {"le": 30.0}),
        ({"sharpness": -1}, ["sharpness"], "greater_than_equal", {"ge": 0.0}),
        ({"sharpness": False}, ["sharpness"], "float_type", None),
        ({"refiner_switch": 1.1}, ["refiner_switch"], "less_than_equal", {"le": 1.0}),
        ({"prompt": 5}, ["prompt"], "string_type", None),
        ({"prompt": "x" * 40_000}, ["prompt"], "string_too_long", {"max_length": 32_768}),
        ({"prompt": "a\x00b"}, ["prompt"], "string_type", None),
        ({"styles": ["Fooocus V3"]}, ["styles", 0], "literal_error", ...),
        ({"styles": ["SAI Anime", "SAI Anime"]}, ["styles"], "unique_items", None),
        ({"styles": "SAI Anime"}, ["styles"], "tuple_type", None),
        ({"performance": "Hyper-SD"}, ["performance"], "enum", ...),
        ({"output_format": "gif"}, ["output_format"], "enum", {"expected": "'png', 'jpeg' or 'webp'"}),
        ({"aspect_ratio": "wide"}, ["aspect_ratio"], "size_parsing", None),
        ({"aspect_ratio": "1025x1024"}, ["aspect_ratio"], "multiple_of", {"multiple_of": 8}),
        ({"aspect_ratio": "32x1024"}, ["aspect_ratio"], "greater_than_equal", {"ge": 64}),
        ({"aspect_ratio": "1024x99992"}, ["aspect_ratio"], "less_than_equal", {"le": 2048}),
        ({"loras": [{"scale": 0.5}]}, ["loras", 0, "path"], "missing", None),
        ({"loras": [{"path": "x", "scale": 1.5}]}, ["loras", 0, "scale"], "less_than_equal", {"le": 1.0}),
        ({"loras": [{"path": "x"}] * 6}, ["loras"], "too_long", ...),
        ({"seed": "abc"}, ["seed"], "int_parsing", None),
        ({"seed": 2**70}, ["seed"], "less_than_equal", {"le": 2**64 - 1}),
        ({"enable_safety_checker": "maybe"}, ["enable_safety_checker"], "bool_parsing", None),
        ({"control_type": "Depth"}, ["control_type"], "enum", ...),
        ({"control_image_weight": 2.01}, ["control_image_weight"], "less_than_equal", {"le": 2.0}),
        ({"advanced": {"num_images": 33}}, ["advanced", "num_images"], "less_than_equal", {"le": 32}),
        ({"advanced": {"sampler_name": "magic"}}, ["advanced", "sampler_name"], "enum", ...),
        ({"advanced": {"save_name": "../x"}}, ["advanced", "save_name"], "string_pattern_mismatch", ...),
        ({"advanced": []}, ["advanced"], "model_type", ...),
        ({"endpoint": "inpaint", "inpaint_image_url": "x", "inpaint_strength": 0}, ["inpaint_strength"],
         "greater_than", {"gt": 0.0}),
        ({"endpoint": "inpaint", "inpaint_image_url": "x", "inpaint_erode_or_dilate": 65},
         ["inpaint_erode_or_dilate"], "less_than_equal", {"le": 64.0}),
    ],
)  # fmt: skip
def test_wrong_values_are_named(body: dict, loc: list, kind: str, ctx: object) -> None:
    (detail,) = details(body)
    assert detail["loc"] == ["body", *loc]
    assert detail["type"] == kind
    assert detail["msg"]
    if ctx is not ...:
        assert detail.get("ctx") == ctx


def test_every_wrong_field_is_listed() -> None:
    found = details({"num_images": 9, "sharpness": "x", "loras": [{}]})
    assert [item["loc"][1] for item in found] == ["sharpness", "num_images", "loras"]


def test_the_offending_value_comes_back_shortened() -> None:
    (detail,) = details({"seed": "9" * 300 + "x"})
    assert len(detail["input"]) <= 257


@pytest.mark.parametrize("body", [None, [], "text", 5])
def test_a_body_that_is_no_object(body: object) -> None:
    assert details(body)[0]["loc"] == ["body"]


@pytest.mark.parametrize("endpoint", ["outpaint", 5, ["inpaint"]])
def test_unknown_endpoint(endpoint: object) -> None:
    assert details({"endpoint": endpoint})[0]["loc"] == ["body", "endpoint"]


def test_numbers_written_as_text_are_read() -> None:
    request = parse_request({"num_images": "2", "guidance_scale": "3.5", "seed": 7.0})
    assert (request.num_images, request.guidance_scale, request.seed) == (2, 3.5, 7)


def test_requests_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_request({}).prompt = "x"


def test_277_style_names() -> None:
    assert len(set(STYLE_NAMES)) == len(STYLE_NAMES) == 277
    assert parse_request({"styles": list(STYLE_NAMES)}).styles == STYLE_NAMES


def test_json_schema_export() -> None:
    printed = subprocess.run([sys.executable, "-m", "schemas"], capture_output=True, check=True, text=True)
    schemas = json.loads(printed.stdout)
    assert len(schemas) == len(REQUESTS) + 2
    base = schemas["fal-ai/fooocus"]
    assert "required" not in base
    assert base["properties"]["num_images"]["maximum"] == 4
    assert base["properties"]["guidance_scale"]["default"] == 4
    assert len(base["properties"]["styles"]["items"]["enum"]) == 277
    assert schemas["fal-ai/fooocus/inpaint"]["required"] == ["inpaint_image_url"]
    assert schemas["fal-ai/fooocus/inpaint"]["properties"]["inpaint_strength"]["exclusiveMinimum"] == 0
