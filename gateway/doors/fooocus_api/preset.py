"""Fooocus's preset files as defaults of requests: `default_model`, `default_styles` and so on, as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import FieldError

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


@dataclass(frozen=True)
class Preset:
    """Defaults for fields a request leaves out."""

    fields: dict[str, Any]
    advanced: dict[str, Any]

    @classmethod
    def load(cls, name: str) -> Preset:
        """The preset of a file's path, or a built-in one by name. Raises ValueError with words for an operator."""
        path = Path(name) if name.endswith(".json") else BUILT_IN / f"{name}.json"
        try:
            content = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ValueError(f"The preset {name} cannot be read: {error.strerror}") from None
        except ValueError:
            raise ValueError(f"The preset {name} is not JSON") from None
        if not isinstance(content, dict):
            raise ValueError(f"The preset {name} is not a JSON object")
        return cls.of(content)

    @classmethod
    def of(cls, content: dict[str, Any]) -> Preset:
        """The preset in a file's content; keys of other purposes are skipped."""
        fields = {ours: content[theirs] for theirs, ours in _FIELDS.items() if theirs in content}
        if "default_loras" in content:
            fields["loras"] = [_lora(row) for row in content["default_loras"]]
        if "default_aspect_ratio" in content:
            fields["aspect_ratios_selection"] = content["default_aspect_ratio"]
        return cls(fields, {ours: content[theirs] for theirs, ours in _ADVANCED.items() if theirs in content})

    def filled(self, body: Any) -> Any:
        """`body` with the preset's values for what it leaves out."""
        if body is None:
            body = {}
        if not isinstance(body, dict):
            raise FieldError(["body"], message="Input should be a valid dictionary")
        filled = {**self.fields, **body}
        advanced = body.get("advanced_params")
        if self.advanced and (advanced is None or isinstance(advanced, dict)):
            filled["advanced_params"] = {**self.advanced, **(advanced or {})}
        return filled


def _lora(row: Any) -> dict[str, Any]:
    """A row is [enabled, name, weight]; older files leave the switch away."""
    enabled, name, weight = row if len(row) == 3 else (True, *row)
    return {"enabled": enabled, "model_name": name, "weight": weight}
