"""Metadata in Fooocus's two schemes: the same text as Fooocus writes, the same values as it reads back.

Golden cases `text/metadata_*` and `text/a1111_quoting`. The case flag about the Karras suffix records a defect of
the original that has no corrected pair; files are written with it, and read with or without.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from handler.media.metadata import Installed, Metadata, Record, parse, read_metadata, write
from handler.media.metadata.a1111 import quote, sampler_label, unquote
from schemas.enums import MetadataScheme, Sampler
from tests.support.golden import GOLDEN, Case, assert_close, cases, load_case

CASES = cases("text", lambda case: "/metadata_" in case.id)
IDS = [case.id for case in CASES]


BASE = load_case("text/metadata_default_fooocus")


def record_of(case: Case) -> Record:
    task, files = case.parameters["task"], case.parameters["model_files"]

    def digest(folder: str, name: str) -> str:
        return hashlib.sha256(files[folder][name].encode()).hexdigest()[:10]

    return Record(
        values={key: value for _, key, value in case.expected_json["entries"]},
        positive=task["pos"],
        negative=task["negs"],
        base_model_hash=digest("path_checkpoints", task["model"]),
        refiner_model_hash="" if task["ref"] == "None" else digest("path_checkpoints", task["ref"]),
        loras=[(name, weight, digest("path_loras", name)) for name, weight in task["loras"] if name != "None"],
    )


def installed_of(case: Case) -> Installed:
    files = case.parameters["model_files"]
    styles = {style["name"]: (style["prompt"], style["negative_prompt"]) for style in load_styles()}
    return Installed(list(files["path_checkpoints"]), list(files["path_loras"]), list(files["path_vae"]), styles)


def load_styles() -> list[dict[str, Any]]:
    return load_case("text/styles_loaded").expected_json


def scheme_of(case: Case) -> MetadataScheme:
    return MetadataScheme(case.parameters["scheme"])


def test_the_set_is_complete():
    assert len(CASES) == 8
    assert {scheme_of(case) for case in CASES} == set(MetadataScheme)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_text_is_fooocus_text(case):
    metadata = write(record_of(case), scheme_of(case))
    assert metadata == Metadata(scheme_of(case), case.expected_json["metadata_text"])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_the_values_come_back_as_in_fooocus(case):
    metadata = Metadata(scheme_of(case), case.expected_json["metadata_text"])
    assert parse(metadata, installed_of(case)) == case.expected_json["parsed_back"]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_files_of_fooocus_are_read(case, kind):
    text = case.expected_json["metadata_text"]
    if kind != "png":  # Fooocus loses what is not ASCII here
        text = text.encode("ascii", "replace").decode()
    assert read_metadata((GOLDEN / case.id / f"image.{kind}").read_bytes()) == Metadata(scheme_of(case), text)


def test_quoting():
    case = load_case("text/a1111_quoting")
    inputs = [item["input"] for item in case.expected_json]
    rows = [{"input": text, "quoted": quote(text), "unquoted": unquote(quote(text))} for text in inputs]
    assert_close(case, "expected_json", rows)


@settings(deadline=None)
@given(st.text())
def test_quoting_is_undone(text):
    assert unquote(quote(text)) == text


def test_the_karras_suffix_as_fooocus_writes_it():
    assert sampler_label("euler", "karras") == "Euler Karras"
    assert sampler_label("euler", "normal") == "Euler"
    assert sampler_label("dpmpp_3m_sde", "karras") == "dpmpp_3m_sde"
    assert {sampler_label(sampler.value, "karras") for sampler in Sampler} > {"UniPC Karras", "heunpp2", "TCD Karras"}


TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
LORAS = st.lists(st.tuples(st.sampled_from(["a.safetensors", "b/c.safetensors"]), st.floats(-2, 2)), max_size=2)


@settings(deadline=None)
@example(" a fox ", '"quoted"', 1, Sampler.EULER, [], "")
@given(TEXTS, TEXTS, st.integers(0, 2**63 - 1), st.sampled_from(list(Sampler)), LORAS, TEXTS)
def test_any_recipe_survives_both_schemes(prompt, negative, seed, sampler, loras, author):
    base = record_of(BASE)
    values = {key: value for key, value in base.values.items() if not key.startswith("lora_combined")}
    values |= {"prompt": prompt, "negative_prompt": negative, "seed": str(seed), "sampler": sampler.value}
    values |= {f"lora_combined_{i}": f"{name} : {weight}" for i, (name, weight) in enumerate(loras, start=1)}
    record = Record(values, [prompt], [negative], "0" * 10, "", [(n, w, "1" * 10) for n, w in loras], author)
    installed = Installed(["modelA.safetensors"], ["a.safetensors", "b/c.safetensors"])
    for scheme in MetadataScheme:
        result = parse(write(record, scheme), installed)
        assert (result["prompt"], result["negative_prompt"], result["seed"]) == (prompt, negative, str(seed))
        assert result["base_model"] == "modelA.safetensors"
        assert result.get("created_by", "") == author
        assert {k: v for k, v in result.items() if "lora_combined" in k} == {
            k: v for k, v in values.items() if "lora_combined" in k
        }
        assert result["sampler"].removesuffix("_gpu") == sampler.value.removesuffix("_gpu")


def test_the_lora_of_a_performance_mode_is_not_read_as_a_choice():
    base = record_of(BASE)
    lora = "sdxl_lcm_lora.safetensors"
    for performance, expected in (("Extreme Speed", set()), ("Speed", {"lora_combined_1"})):
        values = {**base.values, "performance": performance, "lora_combined_1": f"{lora} : 1.0"}
        record = Record(values, ["x"], ["y"], "0", loras=[(lora, 1.0, "1")])
        for scheme in MetadataScheme:
            result = parse(write(record, scheme), installed_of(BASE))
            assert {key for key in result if key.startswith("lora_combined")} == expected


def test_styles_are_recognised_by_their_texts():
    styles = {"Calm": ("calm {prompt}, even light", "noise"), "Loud": ("loud {prompt}", ""), "Never": ("", "grain")}
    text = (
        "calm a fox, even light, loud a fox\nNegative prompt: noise, blur\n"
        "Steps: 30, Sampler: Euler, Seed: 1, Raw prompt: a fox, Raw negative prompt: blur"
    )
    values = parse(Metadata(MetadataScheme.A1111, text), Installed(styles=styles))
    assert (values["styles"], values["prompt"]) == ("['Calm', 'Loud']", "a fox")
    expanded = text.replace("loud a fox", "loud a fox, a fox, glowing")
    values = parse(Metadata(MetadataScheme.A1111, expanded), Installed(styles=styles))
    assert values["styles"] == "['Fooocus V2', 'Calm', 'Loud']"


def test_a_file_of_the_web_ui_itself():
    text = (
        "a fox, <lora:x:0.5>\nin the snow\nNegative prompt: blur\nugly\n"
        "Steps: 30, Sampler: DPM++ 2M Karras, CFG scale: 7, Seed: 5, Size: 512x768, Model hash: abc, Model: modelA"
    )
    values = parse(Metadata(MetadataScheme.A1111, text), Installed(["modelA.safetensors"]))
    assert values == {
        "prompt": "a fox, <lora:x:0.5>\nin the snow",
        "negative_prompt": "blur\nugly",
        "steps": "30",
        "sampler": "dpmpp_2m",
        "scheduler": "karras",
        "guidance_scale": "7",
        "seed": "5",
        "resolution": "('512', '768')",
        "base_model_hash": "abc",
        "base_model": "modelA.safetensors",
        "performance": "Speed",
        "styles": "[]",
    }


def test_plain_words_are_a_prompt():
    values = parse(Metadata(MetadataScheme.A1111, "just: some, words: here"), Installed())
    assert values == {"prompt": "just: some, words: here", "negative_prompt": "", "styles": "[]"}


@pytest.mark.parametrize("text", ["", "[]", "3", "{", "null", "[" * 100_000])
def test_json_that_is_no_object_is_an_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse(Metadata(MetadataScheme.FOOOCUS, text), Installed())


STRANGE = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)
KEYS = st.sampled_from(["vae", "base_model", "refiner_model", "lora_combined_1", "performance", "x"])


@settings(deadline=None)
@given(st.dictionaries(KEYS, STRANGE))
def test_strange_json_values_are_no_crash(values):
    parse(Metadata(MetadataScheme.FOOOCUS, json.dumps(values)), Installed())


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from(':,"\\ \nabN=0(x'), max_size=200))
def test_strange_a1111_texts_are_no_crash(text):
    parse(Metadata(MetadataScheme.A1111, text + "\nSteps: 3, Size: q, Sampler: " + text), Installed())


@pytest.mark.parametrize(
    "piece", ["a", " ", "a:", 'a:"', ",", "\\", 'a: "\\', "a, ", "\n", "Negative prompt:", "Steps: 1, "]
)
def test_a_megabyte_of_anything_is_parsed_in_time(piece):
    started = time.thread_time()
    parse(Metadata(MetadataScheme.A1111, piece * (2**20 // len(piece))), Installed(styles={"A": ("{prompt} b", "c")}))
    assert time.thread_time() - started < 5
