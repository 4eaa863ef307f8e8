"""A form means what the same JSON means, field for field, however clients write lists, objects and files."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests as client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from gateway.doors.fooocus_api.form import read_form
from gateway.doors.fooocus_api.route import refusal
from schemas.errors import FooocusError
from schemas.fooocus_api.advanced import AdvancedParams
from schemas.fooocus_api.requests import ImagePromptRequest, InpaintOutpaintRequest
from tests.gateway.doors.fooocus_api.test_canonical import URI, png_bytes

FORM = "http://door/"


async def echo(request: Request) -> JSONResponse:
    try:
        return JSONResponse(await read_form(request))
    except FooocusError as error:
        return refusal(error)


@pytest.fixture(scope="module")
def door() -> TestClient:
    return TestClient(Starlette(routes=[Route("/", echo, methods=["POST"])]), base_url=FORM)


def sent(door: TestClient, data: dict[str, Any], files: dict[str, bytes] | None = None) -> Any:
    """What the form reader makes of a form as `requests` writes it."""
    prepared = client.Request("POST", FORM, data=data, files=files or {"input_image": b""}).prepare()
    return door.post("/", content=prepared.body, headers=dict(prepared.headers)).json()


EVERY_FIELD: dict[str, Any] = {
    "prompt": "a bear", "negative_prompt": "", "performance_selection": "Lightning",
    "aspect_ratios_selection": "640*512", "image_number": 3, "image_seed": 7, "sharpness": 3.5, "guidance_scale": 5,
    "base_model_name": "a.safetensors", "refiner_model_name": "None", "refiner_switch": 0.7, "save_meta": False,
    "meta_scheme": "a1111", "save_extension": "webp", "save_name": "bear", "read_wildcards_in_order": True,
    "require_base64": True, "async_process": True, "webhook_url": "https://example.com/hook",
    "inpaint_additional_prompt": "fur", "outpaint_distance_left": 64, "outpaint_distance_right": 0,
    "outpaint_distance_top": 8, "outpaint_distance_bottom": -1,
}  # fmt: skip


def test_every_plain_field_is_as_in_json(door: TestClient) -> None:
    form = sent(door, EVERY_FIELD)
    assert InpaintOutpaintRequest.model_validate(form) == InpaintOutpaintRequest.model_validate(EVERY_FIELD)
    compound = {"style_selections", "loras", "advanced_params", "outpaint_selections", "image_prompts"}
    covered = EVERY_FIELD.keys() | compound | {"input_image", "input_mask"}
    assert covered == InpaintOutpaintRequest.model_fields.keys()


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("on", True), ("False", False), ("no", False)]
)
def test_booleans_in_every_spelling(door: TestClient, text: str, value: bool) -> None:
    assert InpaintOutpaintRequest.model_validate(sent(door, {"require_base64": text})).require_base64 is value


@pytest.mark.parametrize(
    "written",
    ["SAI Anime,Fooocus V2", " SAI Anime , Fooocus V2 ", ["SAI Anime", "Fooocus V2"], '["SAI Anime", "Fooocus V2"]'],
)
def test_lists_are_repeated_or_have_commas(door: TestClient, written: Any) -> None:
    assert sent(door, {"style_selections": written})["style_selections"] == ["SAI Anime", "Fooocus V2"]


def test_an_empty_style_list_means_no_styles_and_an_absent_one_the_default(door: TestClient) -> None:
    assert sent(door, {"style_selections": ""})["style_selections"] == []
    assert "style_selections" not in sent(door, {"prompt": "x"})


def test_empty_numbers_and_objects_are_not_given(door: TestClient) -> None:
    assert sent(door, {"image_seed": "", "loras": "", "advanced_params": "", "async_process": ""}) == {}


def test_objects_come_as_json_text(door: TestClient) -> None:
    params = {name: getattr(AdvancedParams(), name) for name in AdvancedParams.model_fields}
    loras = [{"model_name": "a.safetensors", "weight": 0.5}]
    form = sent(door, {"advanced_params": json.dumps(params), "loras": json.dumps(loras)})
    assert form["loras"] == loras
    assert AdvancedParams.model_validate(form["advanced_params"]) == AdvancedParams()


@pytest.mark.parametrize("field", ["loras", "advanced_params"])
def test_broken_json_text_names_its_field(door: TestClient, field: str) -> None:
    assert sent(door, {field: "{broken"})["detail"][0]["loc"] == ["body", field]


def test_files_become_pictures_and_an_empty_one_is_absent(door: TestClient) -> None:
    form = sent(door, {}, {"input_image": png_bytes(), "input_mask": b""})
    assert form == {"input_image": URI}


def test_a_file_that_is_no_picture_names_its_field(door: TestClient) -> None:
    detail = sent(door, {}, {"input_mask": b"GIF89a"})["detail"][0]
    assert (detail["loc"], detail["type"]) == (["body", "input_mask"], "unsupported_image_format")


def test_slots_become_image_prompts(door: TestClient) -> None:
    data = {"cn_stop2": 0.4, "cn_weight2": "1.2", "cn_type2": "CPDS", "cn_stop4": 0.1}
    form = sent(door, data, {"cn_img2": png_bytes()})
    request = ImagePromptRequest.model_validate(form)
    assert len(request.image_prompts) == 2
    assert request.image_prompts[0].cn_img is None
    second = request.image_prompts[1]
    assert (second.cn_stop, second.cn_weight, second.cn_type) == (0.4, 1.2, "CPDS")


def test_a_list_of_dicts_as_requests_writes_it_counts_for_the_slots(door: TestClient) -> None:
    prompts = [{"cn_stop": 0.6, "cn_weight": 0.7, "cn_type": "PyraCanny"}, {"cn_type": "CPDS"}]
    data = {"image_prompts": prompts, "cn_weight2": 0.9}
    form = sent(door, data, {"cn_img1": png_bytes(), "cn_img2": png_bytes()})
    first, second = ImagePromptRequest.model_validate(form).image_prompts
    assert (first.cn_stop, first.cn_weight, first.cn_type) == (0.6, 0.7, "PyraCanny")
    assert (second.cn_weight, second.cn_type) == (0.9, "CPDS")


def test_a_body_that_is_no_form_has_no_fields(door: TestClient) -> None:
    assert door.post("/", json={"prompt": "x"}).json() == {}


def test_too_many_files_are_refused(door: TestClient) -> None:
    response = sent(door, {}, {f"file{index}": png_bytes() for index in range(20)})
    assert response["detail"][0]["loc"] == ["body"]
