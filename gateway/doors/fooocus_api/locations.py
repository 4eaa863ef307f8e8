"""Where a wrong canonical field came from in Fooocus-API's body, so that errors name what the client sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_FIELDS = {
    "styles": ("style_selections",),
    "aspect_ratio": ("aspect_ratios_selection",),
    "num_images": ("image_number",),
    "seed": ("image_seed",),
    "performance": ("performance_selection",),
    "inpaint_image_url": ("input_image",),
    "mask_image_url": ("input_mask",),
    "uov_image_url": ("input_image",),
    "image_url": ("image",),
    "types": ("image_type",),
    "invert_mask": ("advanced_params", "invert_mask_checkbox"),
    "output_format": ("save_extension",),
    **{
        name: ("advanced_params", name)
        for name in (
            "inpaint_engine",
            "inpaint_strength",
            "inpaint_respective_field",
            "inpaint_erode_or_dilate",
            "inpaint_disable_initial_latent",
        )
    },
}
_ADVANCED = {
    "performance": ("performance_selection",),
    "num_images": ("image_number",),
    "loras": ("loras",),
    "base_model": ("base_model_name",),
    "refiner_model": ("refiner_model_name",),
    "save_name": ("save_name",),
    "save_metadata": ("save_meta",),
    "metadata_scheme": ("meta_scheme",),
    "read_wildcards_in_order": ("read_wildcards_in_order",),
    "upscale_value": ("upscale_value",),
}
_LEAVES = {"image_url": "cn_img", "stop_at": "cn_stop", "weight": "cn_weight", "type": "cn_type"}
_LORA_LEAVES = {"path": "model_name", "scale": "weight"}


_PROMPT = "image_prompt_"


@dataclass(frozen=True, slots=True)
class Sent:
    """How a request was written. prompts: for each canonical image prompt its index in the request's list, which
    may have unused items between. form: the names of a form's fields; none for JSON."""

    prompts: tuple[int, ...] = (0, 1, 2, 3)
    form: frozenset[str] = frozenset()

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Sent:
        """From what `record` gave."""
        return cls(tuple(record["prompts"]), frozenset(record["form"]))

    def record(self) -> dict[str, Any]:
        """As JSON, with the form's fields that are called otherwise in JSON."""
        return {"prompts": list(self.prompts), "form": sorted(name for name in self.form if name.startswith("cn_"))}


AS_JSON = Sent()


def translated(detail: Any, sent: Sent = AS_JSON) -> Any:
    """fal's detail list with each `loc` in Fooocus-API's names; anything else is given back as it is."""
    if not isinstance(detail, list):
        return detail
    return [{**item, "loc": location(item["loc"], sent)} if isinstance(item, Mapping) else item for item in detail]


def location(loc: list[Any], sent: Sent = AS_JSON) -> list[Any]:
    """The place in Fooocus-API's body of a place in the canonical one."""
    if len(loc) < 2 or loc[0] != "body":
        return loc
    _, name, *rest = loc
    if name == "advanced" and rest:
        return _advanced(*rest)
    if str(name).startswith(_PROMPT):
        index = sent.prompts[int(name.removeprefix(_PROMPT)) - 1]
        name, rest = "image_prompts", [index, *(_LEAVES.get(part, part) for part in rest)]
    return _in_form(["body", *_FIELDS.get(name, (name,)), *rest], sent)


def _in_form(loc: list[Any], sent: Sent) -> list[Any]:
    """The field of a form that an image prompt's value came from."""
    if len(loc) == 4 and loc[1] == "image_prompts":
        name = f"{loc[3]}{loc[2] + 1}"
        return ["body", name] if name in sent.form else loc
    return loc


def _advanced(name: str, *rest: Any) -> list[Any]:
    if name == "outpaint_distances" and rest:
        return ["body", f"outpaint_distance_{rest[0]}"]
    if name == "freeu" and rest:
        return ["body", "advanced_params", f"freeu_{rest[0]}"]
    leaves = _LORA_LEAVES if name == "loras" else {}
    return ["body", *_ADVANCED.get(name, ("advanced_params", name)), *(leaves.get(part, part) for part in rest)]
