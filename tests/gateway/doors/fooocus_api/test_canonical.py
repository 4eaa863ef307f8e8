"""Fooocus-API's requests mean the right canonical ones, and errors name what the client sent."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from gateway.doors.fooocus_api.canonical import COPIED, canonical, slots
from gateway.doors.fooocus_api.locations import Sent, location
from schemas.errors import InvalidInput
from schemas.fooocus_api.requests import (
    CommonRequest,
    ImagePromptRequest,
    InpaintOutpaintRequest,
    TextToImageRequest,
    TextToImageWithIpRequest,
    UpscaleVaryRequest,
)
from schemas.request import (
    ImagePromptRequest as CanonicalImagePrompt,
)
from schemas.request import (
    InpaintRequest,
    Request,
    UpscaleOrVaryRequest,
    parse_request,
)
from schemas.request import (
    TextToImageRequest as CanonicalTextToImage,
)
from tests.gateway.doors.fooocus_api.bodies import ADVANCED, COMMON, PICTURE, URI


def parsed(model: type[CommonRequest], body: dict[str, Any]) -> Request:
    return parse_request(canonical(model.model_validate(body)))


def test_an_empty_body_has_fooocus_apis_defaults() -> None:
    request = parsed(TextToImageRequest, {})
    assert isinstance(request, CanonicalTextToImage)
    assert request.advanced.performance == "Speed"
    assert request.aspect_ratio == "1152x896"
    assert request.output_format == "png"
    assert request.styles == ("Fooocus V2", "Fooocus Enhance", "Fooocus Sharp")
    assert request.refiner_switch == 0.5
    assert request.seed is None
    assert request.advanced.save_metadata


@pytest.mark.parametrize("text", ["704*1408", "704×1408", "704x1408"])
def test_sizes_are_understood_in_every_spelling(text: str) -> None:
    assert parsed(TextToImageRequest, {"aspect_ratios_selection": text}).aspect_ratio == "704x1408"


@pytest.mark.parametrize(("seed", "expected"), [(-1, None), (0, 0), ("42", 42), (2**63 - 1, 2**63 - 1), (2**63, None)])
def test_seeds_outside_of_the_range_are_random(seed: Any, expected: int | None) -> None:
    assert parsed(TextToImageRequest, {"image_seed": seed}).seed == expected


def test_loras_that_are_off_or_none_are_left_out() -> None:
    rows = [
        {"enabled": True, "model_name": "a.safetensors", "weight": -1.5},
        {"enabled": False, "model_name": "b.safetensors", "weight": 1},
        {"model_name": "c.safetensors"},
        {"enabled": True, "model_name": "None", "weight": 1},
    ]
    loras = parsed(TextToImageRequest, {"loras": rows}).advanced.loras
    assert loras is not None
    assert [(lora.path, lora.scale) for lora in loras] == [("a.safetensors", -1.5), ("c.safetensors", 0.5)]


def test_no_loras_and_default_loras_differ() -> None:
    assert parsed(TextToImageRequest, {"loras": []}).advanced.loras == ()
    assert parsed(TextToImageRequest, {}).advanced.loras is None


def test_every_field_arrives() -> None:
    request = parsed(TextToImageRequest, COMMON)
    assert isinstance(request, CanonicalTextToImage)
    assert COMMON.keys() == CommonRequest.model_fields.keys()
    same = {"prompt", "negative_prompt", "sharpness", "guidance_scale", "refiner_switch"}
    assert {name: getattr(request, name) for name in same} == {name: COMMON[name] for name in same}
    assert request.styles == ("SAI Anime", "Fooocus V2")
    assert (request.aspect_ratio, request.seed, request.output_format) == ("640x512", 7, "webp")
    advanced = request.advanced
    assert (advanced.performance, advanced.num_images) == ("Quality", 32)
    assert (advanced.base_model, advanced.refiner_model) == ("a.safetensors", "refiner.safetensors")
    assert advanced.loras is not None
    assert [(lora.path, lora.scale) for lora in advanced.loras] == [("a.safetensors", -1.5)]
    assert (advanced.save_metadata, advanced.metadata_scheme, advanced.save_name) == (False, "a1111", "bear")
    assert advanced.read_wildcards_in_order
    # The others are no part of the picture: `_new_job` reads them.
    assert COMMON.keys() - same == {
        "style_selections", "aspect_ratios_selection", "image_seed", "save_extension", "performance_selection",
        "image_number", "base_model_name", "refiner_model_name", "loras", "save_meta", "meta_scheme", "save_name",
        "read_wildcards_in_order", "advanced_params", "require_base64", "async_process", "webhook_url",
    }  # fmt: skip


def test_every_advanced_parameter_arrives() -> None:
    request = parsed(TextToImageRequest, {"advanced_params": ADVANCED})
    assert isinstance(request, CanonicalTextToImage)
    advanced = request.advanced
    elsewhere = {
        "freeu_enabled", "freeu_b1", "freeu_b2", "freeu_s1", "freeu_s2", "black_out_nsfw",
        "disable_intermediate_results", "debugging_cn_preprocessor", "debugging_inpaint_preprocessor",
        "mixing_image_prompt_and_vary_upscale", "mixing_image_prompt_and_inpaint", "inpaint_mask_upload_checkbox",
        "inpaint_advanced_masking_checkbox", "invert_mask_checkbox", "inpaint_disable_initial_latent",
        "inpaint_engine", "inpaint_strength", "inpaint_respective_field", "inpaint_erode_or_dilate",
    }  # fmt: skip
    same = ADVANCED.keys() - elsewhere
    assert {name: getattr(advanced, name) for name in same} == {name: ADVANCED[name] for name in same}
    assert advanced.freeu is not None
    assert advanced.freeu.model_dump() == {"b1": 1.1, "b2": 1.2, "s1": 0.9, "s2": 0.8}
    assert request.enable_safety_checker


def test_unset_numbers_and_the_documents_literal_defaults_mean_the_defaults() -> None:
    unset = {name: -1 for name in ("overwrite_step", "overwrite_switch", "overwrite_width", "overwrite_height")}
    unset |= {"overwrite_vary_strength": -1, "overwrite_upscale_strength": -1}
    params = {**unset, "sampler_name": "default_sampler", "scheduler_name": "default_scheduler"}
    assert parsed(TextToImageRequest, {"advanced_params": params}) == parsed(TextToImageRequest, {})


def test_a_switch_below_one_is_a_share_of_the_steps() -> None:
    request = parsed(TextToImageRequest, {"advanced_params": {"overwrite_switch": 0.4}})
    assert (request.refiner_switch, request.advanced.overwrite_switch) == (0.4, None)


@pytest.mark.parametrize("step", [5, 5.0, "5"])
def test_a_whole_switch_above_one_is_a_step(step: Any) -> None:
    request = parsed(TextToImageRequest, {"advanced_params": {"overwrite_switch": step}})
    assert (request.refiner_switch, request.advanced.overwrite_switch) == (0.5, 5)


@pytest.mark.parametrize("name", sorted(COPIED))
def test_the_models_clients_copy_count_only_where_they_are_installed(tmp_path: Path, name: str) -> None:
    request = TextToImageRequest(base_model_name=name)
    assert "base_model" not in canonical(request, tmp_path)["advanced"]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).touch()
    assert canonical(request, tmp_path)["advanced"]["base_model"] == name


def test_a_refiner_is_never_dropped_in_silence() -> None:
    name = "juggernautXL_v8Rundiffusion.safetensors"
    assert parsed(TextToImageRequest, {"refiner_model_name": name}).advanced.refiner_model == name


def test_no_inpaint_strength_is_next_to_none() -> None:
    body = {"input_image": PICTURE, "input_mask": PICTURE, "advanced_params": {"inpaint_strength": 0.0}}
    request = parsed(InpaintOutpaintRequest, body)
    assert isinstance(request, InpaintRequest)
    assert 0 < request.inpaint_strength <= 0.001


@pytest.mark.parametrize("picture", [PICTURE, PICTURE.rstrip("="), URI, "https://example.com/a.png"])
def test_pictures_come_as_base64_data_uri_or_url(picture: str) -> None:
    request = parsed(UpscaleVaryRequest, {"input_image": picture})
    assert isinstance(request, UpscaleOrVaryRequest)
    assert request.uov_image_url in (URI, "https://example.com/a.png")
    assert request.uov_method == "Upscale (2x)"


def test_a_custom_factor_is_kept() -> None:
    body = {"input_image": PICTURE, "uov_method": "Upscale (Custom)", "upscale_value": 3.5}
    assert parsed(UpscaleVaryRequest, body).advanced.upscale_value == 3.5


@pytest.mark.parametrize("nothing", ["", None, "None", "string"])
def test_inpaint_without_a_picture_is_text_to_image(nothing: str | None) -> None:
    body = {"input_image": nothing, "outpaint_selections": ["Left"]}
    assert isinstance(parsed(InpaintOutpaintRequest, body), CanonicalTextToImage)


def test_inpaint_carries_its_options() -> None:
    body = {
        "prompt": "a cat", "input_image": PICTURE, "input_mask": PICTURE, "inpaint_additional_prompt": "fur",
        "advanced_params": {
            "inpaint_engine": "v1", "inpaint_strength": 0.5, "inpaint_respective_field": 0.25,
            "inpaint_erode_or_dilate": -3, "invert_mask_checkbox": True, "inpaint_disable_initial_latent": True,
        },
    }  # fmt: skip
    request = parsed(InpaintOutpaintRequest, body)
    assert isinstance(request, InpaintRequest)
    assert request.override_inpaint_options
    assert request.inpaint_additional_prompt == "fur"
    assert (request.inpaint_engine, request.inpaint_strength, request.inpaint_respective_field) == ("v1", 0.5, 0.25)
    assert (request.inpaint_erode_or_dilate, request.invert_mask) == (-3, True)
    assert request.inpaint_disable_initial_latent


def test_a_distance_counts_only_with_its_side() -> None:
    body = {
        "input_image": PICTURE, "outpaint_selections": ["Left", "Top"], "outpaint_distance_left": 64,
        "outpaint_distance_right": 128, "outpaint_distance_top": -1,
    }  # fmt: skip
    request = parsed(InpaintOutpaintRequest, body)
    assert isinstance(request, InpaintRequest)
    assert request.outpaint_selections == ("Left", "Top")
    assert request.advanced.outpaint_distances is not None
    assert request.advanced.outpaint_distances.model_dump() == {"left": 64, "right": 0, "top": 0, "bottom": 0}


def test_image_prompts_get_their_types_defaults_and_unused_slots_are_skipped() -> None:
    prompts = [
        {"cn_img": ""},
        {"cn_img": PICTURE, "cn_type": "FaceSwap"},
        {"cn_img": PICTURE, "cn_stop": 0.3, "cn_weight": 1.5, "cn_type": "CPDS"},
    ]
    request = parsed(TextToImageWithIpRequest, {"image_prompts": prompts})
    assert isinstance(request, CanonicalImagePrompt)
    first, second = request.image_prompt_1, request.image_prompt_2
    assert (first.type, first.stop_at, first.weight) == ("FaceSwap", 0.9, 0.75)
    assert second is not None
    assert (second.type, second.stop_at, second.weight) == ("CPDS", 0.3, 1.5)
    assert request.image_prompt_3 is None


@pytest.mark.parametrize("model", [UpscaleVaryRequest, InpaintOutpaintRequest, ImagePromptRequest])
def test_image_prompts_beside_another_picture_are_mixed(model: type[CommonRequest]) -> None:
    body = {"input_image": PICTURE, "input_mask": PICTURE, "image_prompts": [{"cn_img": PICTURE}]}
    request = parsed(model, body)
    assert request.image_prompt_1 is not None
    mixing = "vary_upscale" if isinstance(request, UpscaleOrVaryRequest) else "inpaint"
    assert getattr(request, f"mixing_image_prompt_and_{mixing}")


@pytest.mark.parametrize("text", ["not base64!", base64.b64encode(b"plain text").decode()])
def test_what_is_no_picture_is_refused_at_its_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parsed(ImagePromptRequest, {"image_prompts": [{"cn_img": PICTURE}, {"cn_img": text}]})
    assert refused.value.details[0]["loc"] == ["body", "image_prompts", 1, "cn_img"]


@pytest.mark.parametrize(
    ("canonical_loc", "ours"),
    [
        (["aspect_ratio"], ["aspect_ratios_selection"]),
        (["styles", 2], ["style_selections", 2]),
        (["advanced", "loras", 1, "path"], ["loras", 1, "model_name"]),
        (["advanced", "overwrite_width"], ["advanced_params", "overwrite_width"]),
        (["advanced", "freeu", "b1"], ["advanced_params", "freeu_b1"]),
        (["advanced", "outpaint_distances", "left"], ["outpaint_distance_left"]),
        (["image_prompt_2", "image_url"], ["image_prompts", 1, "cn_img"]),
        (["mask_image_url"], ["input_mask"]),
        (["inpaint_strength"], ["advanced_params", "inpaint_strength"]),
        (["prompt"], ["prompt"]),
    ],
)
def test_locations_are_told_in_the_clients_words(canonical_loc: list[Any], ours: list[Any]) -> None:
    assert location(["body", *canonical_loc]) == ["body", *ours]


def test_image_prompts_are_told_by_their_place_in_the_request() -> None:
    asked = TextToImageWithIpRequest.model_validate({"image_prompts": [{}, {"cn_img": PICTURE}, {}, {"cn_img": URI}]})
    sent = Sent(prompts=slots(asked))
    assert sent.prompts == (1, 3)
    assert location(["body", "image_prompt_2", "stop_at"], sent) == ["body", "image_prompts", 3, "cn_stop"]
    as_form = Sent(sent.prompts, frozenset({"cn_img4", "cn_type4"}))
    assert location(["body", "image_prompt_2", "image_url"], as_form) == ["body", "cn_img4"]
    assert location(["body", "image_prompts", 3, "cn_type"], as_form) == ["body", "cn_type4"]
    assert location(["body", "image_prompts", 3, "cn_stop"], as_form) == ["body", "image_prompts", 3, "cn_stop"]
    assert Sent.of(as_form.record()) == as_form
