"""Scheme `fooocus`: one JSON object with sorted keys, model names without folder and extension."""

from __future__ import annotations

import json
from typing import Any

from handler.media.metadata.record import NONE, Installed, Record, find, find_lora, stem

_LORA_PREFIX = "lora_combined_"


def write(record: Record) -> str:
    """The JSON text, ASCII only."""
    values = {key: _shortened(key, value) for key, value in record.values.items()}
    values["full_prompt"] = list(record.positive)
    values["full_negative_prompt"] = list(record.negative)
    values["base_model_hash"] = record.base_model_hash
    values["loras"] = [[stem(name), float(weight), digest] for name, weight, digest in record.loras]
    if values.get("refiner_model", NONE) != NONE:
        values["refiner_model_hash"] = record.refiner_model_hash
    if record.created_by:
        values["created_by"] = record.created_by
    return json.dumps(values, sort_keys=True)


def _shortened(key: str, value: Any) -> Any:
    if key in ("base_model", "refiner_model", "vae"):
        return stem(value)
    if key.startswith(_LORA_PREFIX):
        name, _, weight = value.rpartition(" : ")
        return f"{stem(name)} : {weight}"
    return value


def parse(text: str, installed: Installed) -> dict[str, Any]:
    """The values of `text`, model names as installed, None for a model that is not; such LoRAs are left out.

    The VAE choice "Default (model)" is no file and comes back as None, as in Fooocus. ValueError if not JSON.
    """
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError("not an object")
    resolved = {key: _resolved(key, value, values, installed) for key, value in values.items()}
    return {key: value for key, value in resolved.items() if value is not None or not _is_lora(key)}


def _is_lora(key: str) -> bool:
    return key.startswith(_LORA_PREFIX)


def _resolved(key: str, value: Any, values: dict[str, Any], installed: Installed) -> Any:
    if _is_lora(key):
        name, _, weight = str(value).rpartition(" : ")
        found = find_lora(installed, name, values.get("performance"))
        return found and f"{found} : {weight}"
    if key == "vae":
        return find(installed.vaes, str(value))
    if key == "base_model" or (key == "refiner_model" and value not in ("", NONE)):
        return find(installed.checkpoints, str(value))
    return value
