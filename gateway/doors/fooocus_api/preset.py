"""Fooocus's preset files as defaults of requests: `default_model`, `default_styles` and so on, as they are."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.checks import CannotServe
from gateway.doors.fooocus_api.canonical import canonical
from gateway.doors.fooocus_api.locations import translated
from gateway.doors.fooocus_api.route import checked
from schemas.catalogue import by_name
from schemas.errors import FieldError, InvalidInput
from schemas.fooocus_api.requests import TextToImageRequest
from schemas.request import parse_request
from schemas.style_names import STYLE_NAMES

log = logging.getLogger(__name__)

BUILT_IN = Path(__file__).parent / "presets"

_FIELDS = {
    "default_model": "base_model_name",
    "default_refiner": "refiner_model_name",
    "default_refiner_switch": "refiner_switch",
    "default_cfg_scale": "guidance_scale",
    "default_sample_sharpness": "sharpness",
    "default_performance": "performance_selection",
    "default_prompt": "prompt",
    "default_prompt_negative": "negative_prompt",
    "default_styles": "style_selections",
    "default_image_number": "image_number",
    "default_output_format": "save_extension",
    "default_save_metadata_to_images": "save_meta",
    "default_metadata_scheme": "meta_scheme",
    "default_loras": "loras",
    "default_aspect_ratio": "aspect_ratios_selection",
}
_ADVANCED = {
    "default_sampler": "sampler_name",
    "default_scheduler": "scheduler_name",
    "default_cfg_tsnr": "adaptive_cfg",
    "default_clip_skip": "clip_skip",
    "default_overwrite_step": "overwrite_step",
    "default_overwrite_switch": "overwrite_switch",
    "default_vae": "vae_name",
    "default_inpaint_engine_version": "inpaint_engine",
    "default_black_out_nsfw": "black_out_nsfw",
}
_THEIRS = {ours: theirs for theirs, ours in (_FIELDS | _ADVANCED).items()}


@dataclass(frozen=True)
class Preset:
    """Defaults for fields a request leaves out."""

    fields: dict[str, Any]
    advanced: dict[str, Any]

    @classmethod
    def load(cls, name: str) -> Preset:
        """The preset of a file's path, or a built-in one by name. Raises CannotServe."""
        path = Path(name) if name.endswith(".json") else BUILT_IN / f"{name}.json"
        try:
            content = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise CannotServe(f"The preset {name} cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError):
            raise CannotServe(f"The preset {name} is not JSON.") from None
        if not isinstance(content, dict):
            raise CannotServe(f"The preset {name} is not a JSON object.")
        try:
            preset = cls.of(content)
            parse_request(canonical(checked(TextToImageRequest, preset.filled({}))))
        except InvalidInput as error:
            raise CannotServe(f"The preset {name} cannot be used. {_words(error)}.") from None
        return preset

    @classmethod
    def of(cls, content: dict[str, Any]) -> Preset:
        """The preset in a file's content; keys of other purposes are skipped. Raises FieldError for rows of LoRAs that
        are none."""
        given = _given(content)
        fields = {ours: given[theirs] for theirs, ours in _FIELDS.items() if theirs in given}
        if "loras" in fields:
            fields["loras"] = _loras(fields["loras"])
        if isinstance(fields.get("style_selections"), list):
            fields["style_selections"] = _known(fields["style_selections"])
        return cls(fields, {ours: given[theirs] for theirs, ours in _ADVANCED.items() if theirs in given})

    def filled(self, body: Any) -> Any:
        """`body` with the preset's values for what it leaves out. Raises FieldError unless it is an object."""
        if not isinstance(body, dict):
            raise FieldError(["body"], message="Input should be a valid dictionary")
        filled = {**self.fields, **_given(body)}
        advanced = filled.get("advanced_params", {})
        if self.advanced and isinstance(advanced, dict):
            filled["advanced_params"] = {**self.advanced, **_given(advanced)}
        return filled


def _given(body: dict[str, Any]) -> dict[str, Any]:
    """A null means "not given", as in every body."""
    return {name: value for name, value in body.items() if value is not None}


def _known(styles: list[Any]) -> list[Any]:
    """Presets name styles of files an operator may not have; a request that does so is refused instead."""
    for style in styles:
        if style not in STYLE_NAMES:
            log.warning("The preset's style %r is not known here: it is left out", style)
    return [style for style in styles if style in STYLE_NAMES]


def _loras(rows: Any) -> list[dict[str, Any]]:
    if not isinstance(rows, list):
        raise FieldError(["body", "loras"], message="Input should be a list")
    return [_lora(row, index) for index, row in enumerate(rows)]


def _lora(row: Any, index: int) -> dict[str, Any]:
    """A row is [enabled, name, weight]; older files leave the switch away. A file of the catalogue is named by its URL,
    which workers that have not installed it understand too."""
    if not isinstance(row, list) or len(row) not in (2, 3):
        raise FieldError(["body", "loras", index], message="Input should be [enabled, name, weight]")
    enabled, name, weight = row if len(row) == 3 else (True, *row)
    known = by_name(f"loras/{name}")
    return {"enabled": enabled, "model_name": name if known is None else known.urls[0], "weight": weight}


def _words(error: InvalidInput) -> str:
    """What is wrong, under the preset's names."""
    return "; ".join(f"{_key(detail['loc'])}: {detail['msg']}" for detail in translated(error.details))


def _key(loc: list[Any]) -> str:
    names = [_THEIRS.get(part, part) for part in loc[1:] if part != "advanced_params"]
    return ".".join(map(str, names))
