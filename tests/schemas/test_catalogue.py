"""The model catalogue: its facts are well formed and unambiguous, and URLs resolve exactly or not at all."""

from __future__ import annotations

from collections import Counter

import pytest
from pydantic import ValidationError

from schemas.catalogue import CATALOGUE, FEATURES, SETS, ModelFile, by_name, by_url, for_features, for_set

OFFSET_LORA = (
    "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/"
    "sd_xl_offset_example-lora_1.0.safetensors"
)


def duplicates(values: list[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def test_paths_are_unique_also_where_case_is_ignored() -> None:
    assert not duplicates([file.path.lower() for file in CATALOGUE])


def test_a_url_names_one_file() -> None:
    assert not duplicates([url for file in CATALOGUE for url in (*file.urls, *file.aliases)])


def test_two_files_do_not_claim_the_same_bytes() -> None:
    assert not duplicates([file.sha256 for file in CATALOGUE if file.sha256])


def test_every_file_can_be_recognised_by_size_or_hash_but_one() -> None:
    unknown = [file.path for file in CATALOGUE if file.bytes is None and file.sha256 is None]
    assert unknown == ["prompt_expansion/fooocus_expansion/config.json"]


def test_pickled_files_always_have_a_hash() -> None:
    """The worker opens them only after their sha256 matched."""
    pickled = [file for file in CATALOGUE if file.name.endswith((".pth", ".bin", ".patch"))]
    assert len(pickled) > 10
    assert all(file.sha256 for file in pickled)


@pytest.mark.parametrize("file", CATALOGUE, ids=lambda file: file.path)
def test_a_missing_or_unusual_licence_carries_a_note(file: ModelFile) -> None:
    plain = ("MIT", "Apache-2.0", "BSD-3-Clause", "CreativeML OpenRAIL")
    assert file.licence.startswith(plain) or file.note


@pytest.mark.parametrize(
    ("feature", "names"),
    [
        (
            "base",
            {
                "checkpoints/juggernautXL_v8Rundiffusion.safetensors",
                "loras/sd_xl_offset_example-lora_1.0.safetensors",
                "clip/tokenizer/vocab.json",
                "clip/tokenizer/merges.txt",
            },
        ),
        ("extreme_speed", {"loras/sdxl_lcm_lora.safetensors"}),
        ("lightning", {"loras/sdxl_lightning_4step_lora.safetensors"}),
        ("hyper_sd", {"loras/sdxl_hyper_sd_4step_lora.safetensors"}),
        (
            "inpaint",
            {
                "inpaint/fooocus_inpaint_head.pth",
                "inpaint/inpaint_v26.fooocus.patch",
                "upscale_models/fooocus_upscaler_s409985e5.bin",
            },
        ),
        (
            "face_swap",
            {
                "controlnet/ip-adapter-plus-face_sdxl_vit-h.bin",
                "controlnet/fooocus_ip_negative.safetensors",
                "controlnet/detection_Resnet50_Final.pth",
                "clip_vision/clip_vision_vit_h.safetensors",
            },
        ),
        (
            "safety",
            {
                "safety_checker/model.safetensors",
                "safety_checker/config.json",
                "safety_checker/preprocessor_config.json",
            },
        ),
    ],
)
def test_a_feature_lists_the_files_it_needs(feature: str, names: set[str]) -> None:
    assert {file.path for file in for_features([feature])} == names


def test_files_of_two_features_come_once_and_in_order() -> None:
    files = for_features(["face_swap", "image_prompt"])
    assert len(files) == len(set(files))
    assert list(files) == [file for file in CATALOGUE if file in files]


def test_an_unknown_feature_is_named() -> None:
    with pytest.raises(KeyError, match="magic"):
        for_features(["base", "magic"])


def test_sets_grow() -> None:
    paths = {name: {file.path for file in for_set(name)} for name in SETS}
    assert list(SETS) == ["none", "default", "speed", "full"]
    assert paths["none"] == set()
    assert paths["none"] < paths["default"] < paths["speed"] < paths["full"]


def test_sets_name_known_features() -> None:
    assert all(set(features) <= set(FEATURES) for features in SETS.values())


def test_no_set_brings_files_that_forbid_commercial_use() -> None:
    """An operator asks for those by feature or by name, after reading the note."""
    assert any(file.non_commercial for file in CATALOGUE)
    assert not [file.path for name in SETS for file in for_set(name) if file.non_commercial]


def test_by_name_takes_a_path_or_an_unambiguous_name() -> None:
    lcm = by_name("sdxl_lcm_lora.safetensors")
    assert lcm is not None
    assert by_name("loras/sdxl_lcm_lora.safetensors") is lcm
    assert by_name("vocab.json") is None
    assert by_name("clip/tokenizer/vocab.json") is not None
    assert by_name("../loras/sdxl_lcm_lora.safetensors") is None


def test_fals_default_lora_url_resolves() -> None:
    file = by_url(OFFSET_LORA)
    assert file is not None
    assert file.path == "loras/sd_xl_offset_example-lora_1.0.safetensors"
    assert by_url(OFFSET_LORA + "?download=true") is file


@pytest.mark.parametrize("file", CATALOGUE, ids=lambda file: file.path)
def test_every_url_and_alias_resolves_to_its_file(file: ModelFile) -> None:
    assert all(by_url(url) is file for url in (*file.urls, *file.aliases))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://[",
        "sd_xl_offset_example-lora_1.0.safetensors",
        "https://example.com/sd_xl_offset_example-lora_1.0.safetensors",
        "https://huggingface.co/someone/else/resolve/main/sd_xl_offset_example-lora_1.0.safetensors",
        OFFSET_LORA.replace("https:", "http:"),
        OFFSET_LORA.replace("/main/", "/other-branch/"),
        OFFSET_LORA + "?download=false",
        OFFSET_LORA + "?download=true&x=1",
        OFFSET_LORA + "/../other.safetensors",
        OFFSET_LORA.replace("https://", "https://huggingface.co@"),
    ],
)
def test_a_url_that_only_looks_alike_does_not_resolve(url: str) -> None:
    assert by_url(url) is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../evil.safetensors"},
        {"name": ".hidden"},
        {"name": "a/b.safetensors"},
        {"folder": "/etc"},
        {"folder": "loras/.."},
        {"urls": ()},
        {"urls": ("http://huggingface.co/x/resolve/main/y.safetensors",)},
        {"sha256": "abc"},
        {"bytes": 0},
        {"licence": ""},
        {"colour": "red"},
    ],
    ids=str,
)
def test_a_malformed_entry_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ModelFile.model_validate(CATALOGUE[0].model_dump() | change)


def test_entries_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        CATALOGUE[0].sha256 = "0" * 64  # type: ignore[misc]
