"""Fooocus's preset files load as they are; a request's own values win."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.checks import CannotServe
from gateway.doors.fooocus_api.preset import Preset
from schemas.fooocus_api.requests import TextToImageRequest
from schemas.request import OFFSET_LORA


def test_a_preset_file_gives_defaults(tmp_path: Path) -> None:
    path = tmp_path / "anime.json"
    content = {
        "default_model": "animaPencilXL_v500.safetensors", "default_refiner": "None", "default_refiner_switch": 0.5,
        "default_loras": [[True, "None", 1.0], [True, "style.safetensors", 0.7], ["older.safetensors", 0.2]],
        "default_cfg_scale": 6.0, "default_sample_sharpness": 3.0, "default_sampler": "dpmpp_2m_sde_gpu",
        "default_scheduler": "karras", "default_performance": "Speed", "default_prompt": "1girl, ",
        "default_prompt_negative": "blurry", "default_styles": ["Fooocus V2", "Fooocus Masterpiece"],
        "default_aspect_ratio": "896*1152", "checkpoint_downloads": {"a": "b"}, "previous_default_models": [],
    }  # fmt: skip
    path.write_text(json.dumps(content), "utf-8")
    request = TextToImageRequest.model_validate(Preset.load(str(path)).filled({"guidance_scale": 2.0}))
    assert request.base_model_name == "animaPencilXL_v500.safetensors"
    assert (request.guidance_scale, request.sharpness) == (2.0, 3.0)
    assert request.loras is not None
    assert [(lora.model_name, lora.weight) for lora in request.loras] == [
        ("None", 1.0),
        ("style.safetensors", 0.7),
        ("older.safetensors", 0.2),
    ]
    assert request.style_selections == ("Fooocus V2", "Fooocus Masterpiece")
    assert (request.aspect_ratios_selection, request.prompt) == ("896*1152", "1girl, ")


def test_the_built_in_preset_is_valid() -> None:
    request = TextToImageRequest.model_validate(Preset.load("default").filled({}))
    assert request.loras is not None
    assert request.loras[0].model_name == OFFSET_LORA.path, "A URL: workers need not have it installed"


def test_advanced_parameters_of_a_request_win_one_by_one() -> None:
    preset = Preset.of({"default_sampler": "euler", "default_clip_skip": 1})
    assert preset.filled({"advanced_params": {"clip_skip": 3}})["advanced_params"] == {
        "sampler_name": "euler",
        "clip_skip": 3,
    }


BROKEN = [
    (None, "cannot be read"), ("{", "not JSON"), ("[]", "not a JSON object"), ("[" * 100_000, "not JSON"),
    ('{"default_loras": 5}', "default_loras: "), ('{"default_loras": [5]}', r"default_loras\.0: "),
    ('{"default_loras": [[true, "x"], [1, 2, 3, 4]]}', r"default_loras\.1: "),
    ('{"default_loras": [[true, "x", 9]]}', r"default_loras\.0\.weight: "),
    ('{"default_cfg_scale": "high"}', "default_cfg_scale: "), ('{"default_sampler": "magic"}', "default_sampler: "),
    ('{"default_aspect_ratio": "wide"}', "default_aspect_ratio: "), ('{"default_styles": 5}', "default_styles: "),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), BROKEN)
def test_a_broken_preset_is_told_in_words(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "mine.json"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(CannotServe, match=words):
        Preset.load(str(path))


def test_unknown_styles_of_a_preset_are_left_out_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    preset = Preset.of({"default_styles": ["Fooocus V2", "My Own Style"]})
    assert preset.fields["style_selections"] == ["Fooocus V2"]
    assert "My Own Style" in caplog.text


def test_nulls_leave_the_presets_values() -> None:
    preset = Preset.of({"default_cfg_scale": 7, "default_sampler": "euler", "default_prompt": None})
    asked = {"guidance_scale": None, "advanced_params": {"sampler_name": None, "clip_skip": 3}, "prompt": None}
    request = TextToImageRequest.model_validate(preset.filled(asked))
    assert (request.guidance_scale, request.prompt) == (7, "")
    assert (request.advanced_params.sampler_name, request.advanced_params.clip_skip) == ("euler", 3)
    nothing = TextToImageRequest.model_validate(preset.filled({"advanced_params": None}))
    assert nothing.advanced_params.sampler_name == "euler"
