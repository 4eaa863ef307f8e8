"""The prompt pipeline, styles, wildcards, size labels and metadata."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.parity.kind import Kind, Results, has_rows_of
from benchmarks.parity.networks import Networks
from benchmarks.parity.outcome import Omitted, Share
from benchmarks.parity.vectors import EXPECTED, INPUT, Case
from handler.engine.conditioning import Side
from handler.media.metadata import Installed, Metadata, Record, parse, read_metadata, write
from handler.media.metadata.a1111 import quote, unquote
from handler.plan.performance import MODES
from handler.plan.plan import ImagePlan
from handler.plan.prompt.arrays import apply_arrays
from handler.plan.prompt.inline_loras import extract_loras
from handler.plan.prompt.lines import clean_line, split_lines
from handler.plan.prompt.process import PromptSettings, PromptSources, process_prompts
from handler.plan.prompt.styles import EXPANSION, RANDOM, Style, load_styles, resolve_random, style_name
from handler.plan.prompt.wildcards import Wildcards
from handler.plan.sizes import describe_size, size_label
from schemas.enums import MetadataScheme, Performance

Row = dict[str, Any]
CLIP_SKIP = 2
SHORT_HASH = 10
NONE = "None"


def by_row(make: Callable[[Row, Case], Row]) -> Callable[[Case, Networks], Results]:
    """A table whose rows hold questions and answers: `make` gives the answers of one row."""
    return lambda case, networks: {"expected_json": [row | make(row, case) for row in case.expected_json]}


def expand(prompt: str, seed: int) -> str:
    """What stood in for the expansion network when the vectors were recorded."""
    return f"{prompt}, amber haze, quiet light"


def styles_of(case: Case) -> dict[str, Style]:
    """Of the folder `styles`, of the case itself or of the one it names."""
    return load_styles(case.folder / case.parameters.get("styles", ".") / "styles")


def wildcards_of(case: Case) -> Wildcards:
    return Wildcards.load(case.folder / case.parameters.get("wildcards", ".") / "wildcards")


def inline_loras(row: Row, case: Case) -> Row:
    listed = [(name, weight) for name, weight in row["loras"]]
    loras, prompt = extract_loras(row["prompt"], listed, case.parameters["lora_files"], row["limit"])
    return {"result_loras": [list(lora) for lora in loras], "result_prompt": prompt}


def wildcards(row: Row, case: Case) -> Row:
    rng = random.Random(row.get("seed", 0))
    return {"result": wildcards_of(case).apply(row["text"], rng, row.get("index", 0), row["in_order"])}


def styled(row: Row, case: Case) -> Row:
    style = styles_of(case)[row["style"]]
    return {"result": [*style.apply(row["positive"]), style.wraps]}


def random_style(row: Row, case: Case) -> Row:
    (style,) = resolve_random((RANDOM,), styles_of(case), random.Random(row["seed"]))
    return {"style": style}


def loaded_styles(case: Case, networks: Networks) -> Results:
    return {"expected_json": [vars(style) for style in styles_of(case).values()]}


def performance(case: Case, networks: Networks) -> Results:
    """`remaining` starts from all files there are: those of a row whose mode reserves none."""
    files = max((row["remaining"] for row in case.expected_json), key=len)
    rows = []
    for row in case.expected_json:
        mode = MODES[Performance(row["performance"])]
        rows.append(
            {
                "performance": row["performance"],
                "steps": mode.steps,
                "steps_uov": mode.steps_uov,
                "lora": mode.lora[0] if mode.lora else None,
                "remaining": mode.free_loras(files),
            }
        )
    return {"expected_json": rows}


def quoting(row: Row, case: Case) -> Row:
    quoted = quote(row["input"])
    return {"quoted": quoted, "unquoted": unquote(quoted)}


def size_labels(row: Row, case: Case) -> Row:
    width, height = map(int, row["size"].split("*"))
    size, ratio = size_label(width, height).split(" ∣ ")
    return {"label_html": f'{size} <span style="color: grey;"> ∣ {ratio}</span>'}


def size_text(row: Row, case: Case) -> Row:
    return {"text": describe_size(row["width"], row["height"])}


def process(case: Case, networks: Networks) -> Results:
    images = processed(case)
    rows = [_task(image) for image in images]
    asked = [{key: row[key] for key in wanted} for row, wanted in zip(rows, case.expected_json, strict=True)]
    return {"expected_json": asked} | (_conditionings(case, images[0], networks) if case.names(EXPECTED) else {})


def processed(case: Case) -> tuple[ImagePlan, ...]:
    asked = case.parameters
    main, extra = split_lines(asked["prompt"])
    negative, negative_extra = split_lines(asked["negative_prompt"])
    _, main = extract_loras(main, [], [name for name, _ in asked["loras_used"]])
    settings = PromptSettings(
        prompt=main,
        negative_prompt=negative,
        styles=(*asked["styles_selected"], *([EXPANSION] if asked["expansion_requested"] else [])),
        images=asked["image_number"],
        seed=asked["seed"],
        extra=extra,
        negative_extra=negative_extra,
        seed_increment=not asked["disable_seed_increment"],
        wildcards_in_order=asked["wildcards_in_order"],
    )
    return process_prompts(settings, PromptSources(styles_of(case), expand, wildcards_of(case)))


def _task(image: ImagePlan) -> Row:
    return {
        "task_seed": image.seed,
        "task_prompt": image.prompt.split("\n")[0],
        "task_negative_prompt": image.negative_prompt.split("\n")[0],
        "positive": list(image.positive),
        "negative": list(image.negative),
        "expansion": image.expansion,
        "positive_top_k": image.positive_pooled,
        "negative_top_k": image.negative_pooled,
        "log_positive_prompt": image.prompt,
        "log_negative_prompt": image.negative_prompt,
        "styles": list(image.styles),
    }


def _conditionings(case: Case, image: ImagePlan, networks: Networks) -> dict[str, Any]:
    """Of the first image. At CFG 1 the negative side repeats the positive one."""
    if case.parameters["loras_used"]:
        return dict.fromkeys(case.names(EXPECTED), Omitted("conditioning under a LoRA file that the set does not hold"))
    positive = Side(image.positive, image.positive_pooled)
    negative = positive if case.parameters["cfg"] == 1 else Side(image.negative, image.negative_pooled)
    made = networks.text_encoder().encode([positive, negative], CLIP_SKIP)
    results: dict[str, Any] = {}
    for side, conditioning in zip(("positive", "negative"), made, strict=True):
        results |= {f"{side}_cond": conditioning.cond, f"{side}_pooled": conditioning.pooled}
    return results


def metadata(case: Case, networks: Networks) -> Results:
    """The text from the recorded entries, its values read back, and what the recorded files say."""
    scheme = MetadataScheme(case.parameters["scheme"])
    recorded = case.expected_json["metadata_text"]
    made = {
        "entries": case.expected_json["entries"],
        "metadata_text": write(_record(case), scheme).text,
        "parsed_back": parse(Metadata(scheme, recorded), _installed(case)),
    }
    results: dict[str, Any] = {"expected_json": made}
    for name in case.files(EXPECTED):
        # Fooocus loses what is not ASCII in EXIF.
        text = recorded if name.endswith(".png") else recorded.encode("ascii", "replace").decode()
        found = read_metadata((case.folder / name).read_bytes())
        results[name] = Share(0.0 if found == Metadata(scheme, text) else float("inf"))
    return results


def _record(case: Case) -> Record:
    task, files = case.parameters["task"], case.parameters["model_files"]

    def digest(folder: str, name: str) -> str:
        return hashlib.sha256(files[folder][name].encode()).hexdigest()[:SHORT_HASH]

    return Record(
        values={key: value for _, key, value in case.expected_json["entries"]},
        positive=task["pos"],
        negative=task["negs"],
        base_model_hash=digest("path_checkpoints", task["model"]),
        refiner_model_hash="" if task["ref"] == NONE else digest("path_checkpoints", task["ref"]),
        loras=[(name, weight, digest("path_loras", name)) for name, weight in task["loras"] if name != NONE],
    )


def _installed(case: Case) -> Installed:
    files = case.parameters["model_files"]
    styles = {style.name: (style.prompt, style.negative_prompt) for style in styles_of(case).values()}
    return Installed(list(files["path_checkpoints"]), list(files["path_loras"]), list(files["path_vae"]), styles)


def _has_folder(case: Case, name: str) -> bool:
    return any(Path(file).parts[0] == name for file in case.files(INPUT))


def _about_styles(case: Case) -> bool:
    """Tables of style names and of cleaned lines are alike but for what they say they are."""
    return has_rows_of(case, "input", "output") and "style" in case.record["description"]


KINDS = (
    Kind(_about_styles, by_row(lambda row, case: {"output": style_name(row["input"])})),
    Kind(
        lambda case: has_rows_of(case, "input", "output"),
        by_row(lambda row, case: {"output": clean_line(str(row["input"]))}),
    ),
    Kind(lambda case: has_rows_of(case, "input", "quoted", "unquoted"), by_row(quoting)),
    Kind(lambda case: has_rows_of(case, "prompt", "loras", "limit", "result_loras"), by_row(inline_loras)),
    Kind(lambda case: has_rows_of(case, "text", "in_order") and _has_folder(case, "wildcards"), by_row(wildcards)),
    Kind(
        lambda case: has_rows_of(case, "text", "index", "result"),
        by_row(lambda row, case: {"result": apply_arrays(row["text"], row["index"])}),
    ),
    Kind(lambda case: has_rows_of(case, "style", "positive", "result"), by_row(styled)),
    Kind(lambda case: has_rows_of(case, "seed", "style"), by_row(random_style)),
    Kind(lambda case: has_rows_of(case, "name", "prompt") and _has_folder(case, "styles"), loaded_styles),
    Kind(lambda case: has_rows_of(case, "performance", "steps", "remaining"), performance),
    Kind(lambda case: has_rows_of(case, "size", "label_html"), by_row(size_labels)),
    Kind(lambda case: has_rows_of(case, "height", "width", "text"), by_row(size_text)),
    Kind(lambda case: "styles_selected" in case.parameters and has_rows_of(case, "task_seed"), process),
    Kind(lambda case: case.parameters.keys() >= {"scheme", "task", "model_files"}, metadata),
)
