"""The prompt pipeline gives Fooocus's texts, seeds and styles for the same request."""

from __future__ import annotations

import random

import pytest

from handler.plan.prompt.arrays import apply_arrays
from handler.plan.prompt.inline_loras import extract_loras
from handler.plan.prompt.lines import clean_line, split_lines
from handler.plan.prompt.process import PromptSettings, PromptSources, process_prompts
from handler.plan.prompt.styles import EXPANSION, load_styles, resolve_random, style_name
from handler.plan.prompt.wildcards import Wildcards
from tests.support.golden import GOLDEN, Case, cases, load_case

STYLES = load_styles(GOLDEN / "text" / "styles_loaded" / "styles")
WILDCARDS = Wildcards.load(GOLDEN / "text" / "wildcards" / "wildcards")
LORA_FILES = ("hey-lora.safetensors", "third_lora.safetensors")


def rows(name: str) -> list[dict]:
    return load_case(f"text/{name}").expected_json


def test_clean_line() -> None:
    for row in rows("clean_line"):
        assert clean_line(str(row["input"])) == row["output"]


def test_inline_loras() -> None:
    files = load_case("text/inline_loras").parameters["lora_files"]
    for row in rows("inline_loras"):
        listed = [tuple(lora) for lora in row["loras"]]
        loras, prompt = extract_loras(row["prompt"], listed, files, row["limit"])
        assert ([list(lora) for lora in loras], prompt) == (row["result_loras"], row["result_prompt"])


def test_wildcards() -> None:
    for row in rows("wildcards"):
        rng = random.Random(row.get("seed", 0))
        assert WILDCARDS.apply(row["text"], rng, row.get("index", 0), row["in_order"]) == row["result"]


def test_a_wildcard_that_doubles_itself_ends() -> None:
    text = Wildcards({"x": ("__x__ __x__",)}).apply("__x__", random.Random(0), 0, False)
    assert len(text) < 1_000_000


def test_arrays() -> None:
    for row in rows("arrays"):
        assert apply_arrays(row["text"], row["index"]) == row["result"]


def test_style_names() -> None:
    for row in rows("style_names"):
        assert style_name(row["input"]) == row["output"]


def test_style_files_of_fooocus_load_as_they_are() -> None:
    loaded = [vars(style) for style in STYLES.values()]
    assert loaded == rows("styles_loaded")


def test_an_operator_style_replaces_a_bundled_one_in_its_place(tmp_path) -> None:
    (tmp_path / "own.json").write_text('[{"name": "golden-late", "prompt": "mine {prompt}"}]')
    merged = load_styles(GOLDEN / "text" / "styles_loaded" / "styles", tmp_path)
    assert list(merged) == list(STYLES)
    assert merged["Golden Late"].prompt == "mine {prompt}"


def test_apply_style() -> None:
    for row in rows("apply_style"):
        style = STYLES[row["style"]]
        assert [*style.apply(row["positive"]), style.wraps] == row["result"]


def test_random_style() -> None:
    for row in rows("random_style"):
        assert resolve_random(("Random Style",), STYLES, random.Random(row["seed"])) == (row["style"],)


@pytest.mark.parametrize(
    "case", cases("text", lambda case: "styles_selected" in case.parameters), ids=lambda case: case.id
)
def test_process(case: Case) -> None:
    asked = case.parameters
    main, extra = split_lines(asked["prompt"])
    negative, negative_extra = split_lines(asked["negative_prompt"])
    loras, main = extract_loras(main, [], LORA_FILES)
    assert [list(lora) for lora in loras] == asked["loras_used"]

    styles = (*asked["styles_selected"], *([EXPANSION] if asked["expansion_requested"] else []))
    settings = PromptSettings(
        prompt=main,
        negative_prompt=negative,
        styles=styles,
        images=asked["image_number"],
        seed=asked["seed"],
        extra=extra,
        negative_extra=negative_extra,
        seed_increment=not asked["disable_seed_increment"],
        wildcards_in_order=asked["wildcards_in_order"],
    )
    sources = PromptSources(STYLES, lambda prompt, seed: f"{prompt}, amber haze, quiet light", WILDCARDS)
    for image, row in zip(process_prompts(settings, sources), case.expected_json, strict=True):
        assert image.seed == row["task_seed"]
        assert image.positive == (*row["positive"],)
        assert image.negative == (*row["negative"],)
        assert image.positive_pooled == row["positive_top_k"]
        assert image.negative_pooled == row["negative_top_k"]
        assert image.expansion == row["expansion"]
        assert image.prompt == row["log_positive_prompt"]
        assert image.negative_prompt == row["log_negative_prompt"]
        assert list(image.styles) == row["styles"]
