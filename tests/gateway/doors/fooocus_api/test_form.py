"""A form means what the same JSON means, field for field, however clients write lists, objects and files."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import requests as client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from gateway.doors.fooocus_api.canonical import canonical
from gateway.doors.fooocus_api.form import read_form
from gateway.doors.fooocus_api.route import refusal
from schemas.errors import FooocusError
from schemas.fooocus_api.advanced import AdvancedParams
from schemas.fooocus_api.requests import (
    CommonRequest,
    ImagePromptRequest,
    InpaintOutpaintForm,
    InpaintOutpaintRequest,
    UpscaleVaryRequest,
)
from schemas.request import parse_request
from tests.gateway.doors.fooocus_api.bodies import COMMON, INPAINT, PICTURE, PROMPTS, UPSCALE, URI, png_bytes

FORM = "http://door/"
MAX_DEPTH = 32


async def echo(request: Request) -> JSONResponse:
    try:
        return JSONResponse(await read_form(request, MAX_DEPTH))
    except FooocusError as error:
        return refusal(error)


@pytest.fixture(scope="module")
def door() -> TestClient:
    return TestClient(Starlette(routes=[Route("/", echo, methods=["POST"])]), base_url=FORM)


def sent(door: TestClient, data: dict[str, Any], files: dict[str, bytes] | None = None) -> Any:
    """What the form reader makes of a form as `requests` writes it."""
    prepared = client.Request("POST", FORM, data=data, files=files or {"input_image": b""}).prepare()
    return door.post("/", content=prepared.body, headers=dict(prepared.headers)).json()


FORMS: dict[type[CommonRequest], dict[str, Any]] = {
    UpscaleVaryRequest: COMMON | PROMPTS | UPSCALE,
    InpaintOutpaintForm: COMMON | PROMPTS | INPAINT,
    ImagePromptRequest: COMMON | PROMPTS | INPAINT,
}
PICTURES = ("input_image", "input_mask")


def as_form(body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Fields and files of a JSON body, as the document writes them in forms."""
    pictures = {name: body[name] for name in PICTURES if name in body}
    fields = {name: value for name, value in body.items() if name not in pictures and name != "image_prompts"}
    for name in ("loras", "advanced_params"):
        fields[name] = json.dumps(body[name])
    for name in ("style_selections", "outpaint_selections"):
        fields |= {name: ",".join(body[name])} if name in body else {}
    for number, prompt in enumerate(body["image_prompts"], 1):
        own = {f"{name}{number}": value for name, value in prompt.items()}
        pictures |= {name: own.pop(name) for name in (f"cn_img{number}",) if name in own}
        fields |= own
    return fields, {name: base64.b64decode(text) for name, text in pictures.items()}


@pytest.mark.parametrize("model", FORMS)
def test_a_form_with_every_field_means_what_the_json_means(door: TestClient, model: type[CommonRequest]) -> None:
    body = FORMS[model]
    assert body.keys() == model.model_fields.keys()
    assert body["advanced_params"].keys() == AdvancedParams.model_fields.keys()
    defaults = {name: field.default for name, field in model.model_fields.items()}
    assert [name for name, value in body.items() if value == defaults[name]] == []
    meant = canonical(model.model_validate(body))
    assert canonical(model.model_validate(sent(door, *as_form(body)))) == meant
    parse_request(meant)


@pytest.mark.parametrize("model", FORMS)
def test_one_field_at_a_time_too(door: TestClient, model: type[CommonRequest]) -> None:
    for name in FORMS[model].keys() - {"input_image"}:
        body = {"input_image": PICTURE, "image_prompts": [], "loras": [], "advanced_params": {}}
        body[name] = FORMS[model][name]
        asked = model.model_validate(sent(door, *as_form(body)))
        assert canonical(asked) == canonical(model.model_validate(body)), name


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


def test_a_body_that_is_no_form_is_refused(door: TestClient) -> None:
    assert door.post("/", json={"prompt": "x"}).json()["detail"][0]["loc"] == ["body"]
    assert door.post("/", content=b"prompt=x").json()["detail"][0]["loc"] == ["body"]


def test_a_form_without_files_is_a_form_and_no_body_has_no_fields(door: TestClient) -> None:
    assert door.post("/", data={"prompt": "x", "image_number": 2}).json() == {"prompt": "x", "image_number": "2"}
    assert door.post("/").json() == {}


SURPRISES = [
    '[{"model_name": "\\ud800"}]', "[{'model_name': '\\ud800'}]", "[" * 900 + "]" * 900, "[" * 33 + "]" * 33,
    "[" * 100_000, "{'a': 1e999}", '{"a": 1e999}', '{"a": NaN}', "{'a': {1, 2}}", "{'a': b'x'}", "{'a': 1j}",
    "9" * 5000, "'" + "x" * 20_000 + "'", "\x00", "f()",
]  # fmt: skip


@pytest.mark.parametrize("field", ["loras", "advanced_params", "image_prompts"])
@pytest.mark.parametrize("text", SURPRISES)
def test_no_text_surprises_the_reader(door: TestClient, field: str, text: str) -> None:
    assert sent(door, {field: text})["detail"][0]["loc"] == ["body", field]


def test_long_json_is_read_whole(door: TestClient) -> None:
    prompts = [{"cn_img": "A" * 50_000}]
    assert sent(door, {"image_prompts": json.dumps(prompts)})["image_prompts"] == prompts


@pytest.mark.parametrize("text", ["5", "[5]", '"x"', "[[]]", "null"])
def test_image_prompts_that_are_no_objects_are_refused(door: TestClient, text: str) -> None:
    assert sent(door, {"image_prompts": text})["detail"][0]["loc"] == ["body", "image_prompts"]


def test_too_many_files_are_refused(door: TestClient) -> None:
    response = sent(door, {}, {f"file{index}": png_bytes() for index in range(20)})
    assert response["detail"][0]["loc"] == ["body"]
