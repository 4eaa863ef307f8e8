"""Scheme `a1111`: the plain text that the AUTOMATIC1111 web UI made common.

Positive text, an optional line `Negative prompt: …`, then one line of `Label: value` pairs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from handler.media.metadata.record import NONE, Installed, Record, find, find_lora, stem
from schemas.enums import Performance, Sampler, Scheduler

_LABELS = {
    Sampler.EULER: "Euler",
    Sampler.EULER_ANCESTRAL: "Euler a",
    Sampler.HEUN: "Heun",
    Sampler.DPM_2: "DPM2",
    Sampler.DPM_2_ANCESTRAL: "DPM2 a",
    Sampler.LMS: "LMS",
    Sampler.DPM_FAST: "DPM fast",
    Sampler.DPM_ADAPTIVE: "DPM adaptive",
    Sampler.DPMPP_2S_ANCESTRAL: "DPM++ 2S a",
    Sampler.DPMPP_SDE: "DPM++ SDE",
    Sampler.DPMPP_SDE_GPU: "DPM++ SDE",
    Sampler.DPMPP_2M: "DPM++ 2M",
    Sampler.DPMPP_2M_SDE: "DPM++ 2M SDE",
    Sampler.DPMPP_2M_SDE_GPU: "DPM++ 2M SDE",
    Sampler.LCM: "LCM",
    Sampler.TCD: "TCD",
    Sampler.RESTART: "Restart",
    Sampler.DDIM: "DDIM",
    Sampler.UNI_PC: "UniPC",
}
_SAMPLERS = {label: sampler.value for sampler, label in reversed(_LABELS.items())}
_KARRAS = " Karras"

_KEYS = {
    "Size": "resolution",
    "CFG scale": "guidance_scale",
    "Model": "base_model",
    "Model hash": "base_model_hash",
    "Refiner": "refiner_model",
    "Refiner hash": "refiner_model_hash",
    "User": "created_by",
}
"""Labels whose key is not simply the label in lower case with underscores."""

_PERFORMANCES = {
    "60": Performance.QUALITY,
    "30": Performance.SPEED,
    "8": Performance.EXTREME_SPEED,
    "4": Performance.LIGHTNING,
}
"""The mode that takes so many steps, for files that do not name it."""

_NEGATIVE = "Negative prompt:"
_PAIR = re.compile(r'([A-Za-z][^:,"]{0,48}):\s*("(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)')
_MIN_PAIRS = 3
"""Fewer pairs than this, and the last line is taken for text."""

_EXPANSION_STYLE = "Fooocus V2"


def quote(value: Any) -> str:
    """`value` as text that may stand before a comma: a JSON string if it has a comma, colon or line end.

    Fooocus stops there; a leading quote or blanks at the ends, which would not come back, are kept safe too.
    """
    text = str(value)
    needed = text.startswith('"') or text != text.strip() or any(mark in text for mark in ",:\n")
    return json.dumps(text, ensure_ascii=False) if needed else text


def unquote(text: str) -> str:
    """Undo `quote`; text that is not a JSON string is returned as it is."""
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


def sampler_label(sampler: str, scheduler: str) -> str:
    """The web UI's name of a sampler; its own name where there is none.

    With the scheduler karras every label gets the suffix " Karras". Fooocus means to spare some samplers
    (euler, ddim, uni_pc, …) but never does; files are written as it writes them.
    """
    label = _LABELS.get(sampler)  # type: ignore[call-overload]
    if label is None:
        return sampler
    return label + _KARRAS if scheduler == Scheduler.KARRAS else label


def write(record: Record) -> str:
    """The text. Positive and negative texts are joined by commas, the user's own follow as `Raw …`."""
    lines = [", ".join(record.positive)]
    negative = ", ".join(record.negative)
    if negative:
        lines.append(f"{_NEGATIVE} {negative}")
    lines.append(", ".join(f"{label}: {quote(value)}" for label, value in _pairs(record)))
    return "\n".join(lines)


def _pairs(record: Record) -> Iterator[tuple[str, Any]]:
    values = record.values
    yield "Steps", values["steps"]
    yield "Sampler", sampler_label(values["sampler"], values["scheduler"])
    yield "Seed", values["seed"]
    yield "Size", "x".join(re.findall(r"\d+", str(values["resolution"])))
    yield "CFG scale", values["guidance_scale"]
    yield "Sharpness", values["sharpness"]
    yield "ADM Guidance", values["adm_guidance"]
    yield "Model", stem(values["base_model"])
    yield "Model hash", record.base_model_hash
    yield "Performance", values["performance"]
    yield "Scheduler", values["scheduler"]
    yield "VAE", stem(values["vae"])
    yield "Raw prompt", values["prompt"]
    yield "Raw negative prompt", values["negative_prompt"]
    yield from _optional_pairs(record)


def _optional_pairs(record: Record) -> Iterator[tuple[str, Any]]:
    values = record.values
    if values.get("refiner_model", NONE) != NONE:
        yield "Refiner", stem(values["refiner_model"])
        yield "Refiner hash", record.refiner_model_hash
    for label in ("Adaptive CFG", "Clip skip", "Overwrite Switch", "Refiner Swap Method", "FreeU"):
        if _key(label) in values:
            yield label, values[_key(label)]
    if record.loras:
        yield "Lora hashes", ", ".join(f"{stem(name)}: {digest}" for name, _, digest in record.loras)
        yield "Lora weights", ", ".join(f"{stem(name)}: {float(weight)}" for name, weight, _ in record.loras)
    yield "Version", values["version"]
    if record.created_by:
        yield "User", record.created_by


def _key(label: str) -> str:
    return _KEYS.get(label, label.lower().replace(" ", "_"))


def parse(text: str, installed: Installed) -> dict[str, Any]:
    """The values of `text` as strings, file names as installed, styles recognised by their texts.

    Also reads files of the web UI itself, which lack Fooocus's own labels. The sampler comes back as the
    first that has the label, so a `_gpu` variant loses its suffix; `resolution` is the text of a tuple of
    strings and LoRAs are numbered anew, all as in Fooocus.
    """
    positive, negative, pairs = _sections(text)
    values: dict[str, Any] = {"prompt": positive, "negative_prompt": negative}
    values |= {_key(label): unquote(value) for label, value in pairs}
    _restore_names(values, installed)
    _restore_sampler(values)
    if "resolution" in values:
        values["resolution"] = str(tuple(values["resolution"].split("x")))
    if "performance" not in values and values.get("steps") in _PERFORMANCES:
        values["performance"] = _PERFORMANCES[values["steps"]].value
    values["styles"] = str(_styles(positive, negative, values, installed.styles))
    values["prompt"] = values.get("raw_prompt", positive)
    values["negative_prompt"] = values.get("raw_negative_prompt", negative)
    return values | _loras(values, installed)


def _sections(text: str) -> tuple[str, str, list[tuple[str, str]]]:
    """Positive text, negative text, and the pairs of the last line."""
    *lines, last = text.strip().split("\n")
    pairs = _PAIR.findall(last)
    if len(pairs) < _MIN_PAIRS:
        lines, pairs = [*lines, last], []
    start = next((i for i, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines))
    negative = "\n".join(lines[start:]).removeprefix(_NEGATIVE)
    return "\n".join(lines[:start]).strip(), negative.strip(), pairs


def _restore_names(values: dict[str, Any], installed: Installed) -> None:
    for key in ("base_model", "refiner_model"):
        if values.get(key, NONE) != NONE:
            values[key] = find(installed.checkpoints, values[key])
    if "vae" in values:
        values["vae"] = find(installed.vaes, values["vae"]) or values["vae"]


def _restore_sampler(values: dict[str, Any]) -> None:
    if "sampler" not in values:
        return
    label = values["sampler"].removesuffix(_KARRAS)
    if label != values["sampler"]:
        values.setdefault("scheduler", Scheduler.KARRAS.value)
    values["sampler"] = _SAMPLERS.get(label, label)


def _loras(values: Mapping[str, Any], installed: Installed) -> dict[str, str]:
    weights = [item.rpartition(": ") for item in values.get("lora_weights", "").split(", ") if ": " in item]
    found = [(find_lora(installed, name, values.get("performance")), weight) for name, _, weight in weights]
    kept = [f"{name} : {weight}" for name, weight in found if name]
    return {f"lora_combined_{number}": text for number, text in enumerate(kept, start=1)}


def _styles(
    positive: str, negative: str, values: Mapping[str, Any], styles: Mapping[str, tuple[str, str]]
) -> list[str]:
    """Names of the styles whose texts are there. Text left over that is not the prompt was an expansion."""
    raw_lines = [line.strip() for line in values.get("raw_prompt", positive).splitlines() if line.strip()]
    found = []
    for name, (template, unwanted) in styles.items():
        wanted = _joined(template.replace("{prompt}", raw_lines[0] if raw_lines else ""))
        if (wanted or unwanted) and wanted in positive and _joined(unwanted) in negative:
            found.append(name)
            positive = positive.replace(wanted, "", 1)
    rest = positive.strip(", \n")
    expanded = "raw_prompt" in values and rest and rest != ", ".join(raw_lines)
    return [_EXPANSION_STYLE, *found] if expanded else found


def _joined(text: str) -> str:
    return ", ".join(line.strip() for line in text.splitlines() if line.strip())
