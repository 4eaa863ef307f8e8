"""Fooocus-API's requests as the canonical request, `schemas.request`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.doors.fooocus_api.images import is_given, source
from schemas.enums import ControlType, OutputFormat, UovMethod
from schemas.errors import FieldError
from schemas.fields import MAX_SEED
from schemas.fooocus_api.advanced import DEFAULT_VAE, AdvancedParams
from schemas.fooocus_api.requests import (
    CommonRequest,
    ImagePrompt,
    InpaintFields,
    InpaintOutpaintForm,
    SaveExtension,
    UpscaleVaryMethod,
    UpscaleVaryRequest,
    WithImagePrompts,
)

SLOTS = 4
UNNAMED = frozenset({"", "None"})
COPIED = frozenset({"juggernautXL_version6Rundiffusion.safetensors", "juggernautXL_v8Rundiffusion.safetensors"})
"""Base models that mean the server's own unless they are installed: clients copy the document's and the code's
defaults into every request."""

LEAST_STRENGTH = 0.001
"""What an inpaint strength of 0 becomes: the canonical one is above 0, and this keeps the picture as well."""

CUSTOM_FACTOR = 2.0
"""Factor of `Upscale (Custom)` when `upscale_value` is not given."""

TYPE_DEFAULTS = {
    ControlType.IMAGE_PROMPT: (0.5, 0.6),
    ControlType.FACE_SWAP: (0.9, 0.75),
    ControlType.PYRA_CANNY: (0.5, 1.0),
    ControlType.CPDS: (0.5, 1.0),
}
"""Fooocus's own stop and weight of each control type."""

FORMATS = {
    SaveExtension.PNG: OutputFormat.PNG,
    SaveExtension.JPG: OutputFormat.JPEG,
    SaveExtension.JPEG: OutputFormat.JPEG,
    SaveExtension.WEBP: OutputFormat.WEBP,
}

Fields = dict[str, Any]


def canonical(request: CommonRequest, models: Path | None = None) -> Fields:
    """The canonical request as JSON. models: the models folder. Raises FieldError for pictures that are no pictures.
    Blocking."""
    fields = _common(request, models)
    prompts = _image_prompts(request) if isinstance(request, WithImagePrompts) else {}
    if isinstance(request, UpscaleVaryRequest):
        return fields | _upscale(request, fields["advanced"]) | _mixed("vary_upscale", prompts)
    inpaint = _inpaint(request, fields["advanced"]) if isinstance(request, InpaintFields) else {}
    if inpaint:
        return fields | inpaint | _mixed("inpaint", prompts)
    return fields | ({"endpoint": "image-prompt", **prompts} if prompts else {})


def _mixed(what: str, prompts: Fields) -> Fields:
    """Image prompts beside another use of a picture act only when mixing is on; Fooocus-API switches it on."""
    return prompts | ({f"mixing_image_prompt_and_{what}": True} if prompts else {})


def slots(request: CommonRequest) -> tuple[int, ...]:
    """Indexes of the image prompts that count: the first four with a picture, `image_prompt_1..4` of the canonical
    request."""
    if not isinstance(request, WithImagePrompts):
        return ()
    return tuple(index for index, prompt in enumerate(request.image_prompts) if is_given(prompt.cn_img))[:SLOTS]


def _common(request: CommonRequest, models: Path | None) -> Fields:
    seed = request.image_seed if 0 <= request.image_seed <= MAX_SEED else None
    fields: Fields = {
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "styles": list(dict.fromkeys(request.style_selections)),
        "aspect_ratio": request.aspect_ratios_selection.replace("*", "x"),
        "guidance_scale": request.guidance_scale,
        "sharpness": request.sharpness,
        "refiner_switch": request.refiner_switch,
        "output_format": FORMATS[request.save_extension],
        "seed": seed,
        "enable_safety_checker": request.advanced_params.black_out_nsfw,
        "advanced": _advanced(request, models),
    }
    switch = request.advanced_params.overwrite_switch
    if isinstance(switch, float) and 0 < switch <= 1:
        fields["refiner_switch"] = switch
    return fields


def _advanced(request: CommonRequest, models: Path | None) -> Fields:
    fields = _overrides(request.advanced_params) | {
        "performance": request.performance_selection,
        "num_images": request.image_number,
        "read_wildcards_in_order": request.read_wildcards_in_order,
        "save_metadata": request.save_meta,
        "metadata_scheme": request.meta_scheme,
    }
    if request.loras is not None:
        used = [lora for lora in request.loras if lora.enabled and lora.model_name != "None"]
        fields["loras"] = [{"path": lora.model_name, "scale": lora.weight} for lora in used]
    if request.save_name:
        fields["save_name"] = request.save_name
    names = {"base_model": _base_model(request.base_model_name, models), "refiner_model": request.refiner_model_name}
    return fields | {field: name for field, name in names.items() if name not in UNNAMED}


def _base_model(name: str, models: Path | None) -> str:
    is_there = models is not None and name in COPIED and (models / "checkpoints" / name).exists()
    return "" if name in COPIED and not is_there else name


_SAME = (
    "disable_preview", "disable_seed_increment", "adm_scaler_positive", "adm_scaler_negative", "adm_scaler_end",
    "adaptive_cfg", "clip_skip", "refiner_swap_method", "skipping_cn_preprocessor", "controlnet_softness",
    "canny_low_threshold", "canny_high_threshold",
)  # fmt: skip
_UNLESS_UNSET = (
    "overwrite_step", "overwrite_width", "overwrite_height", "overwrite_vary_strength", "overwrite_upscale_strength",
)  # fmt: skip


def _overrides(params: AdvancedParams) -> Fields:
    fields: Fields = {name: getattr(params, name) for name in _SAME}
    fields |= {name: getattr(params, name) for name in _UNLESS_UNSET if getattr(params, name) > 0}
    fields |= {name: value for name in ("sampler_name", "scheduler_name") if (value := getattr(params, name))}
    if isinstance(params.overwrite_switch, int) and params.overwrite_switch > 0:
        fields["overwrite_switch"] = params.overwrite_switch
    if params.freeu_enabled:
        fields["freeu"] = {name: getattr(params, f"freeu_{name}") for name in ("b1", "b2", "s1", "s2")}
    if params.vae_name not in ("", DEFAULT_VAE):
        fields["vae_name"] = params.vae_name
    return fields


def _image_prompts(request: WithImagePrompts) -> Fields:
    """`image_prompt_1..4` from the slots that have a picture."""
    assert isinstance(request, CommonRequest), "Every body with image prompts is a generating one. This is a bug."
    return {
        f"image_prompt_{number}": _image_prompt(request.image_prompts[index], index)
        for number, index in enumerate(slots(request), 1)
    }


def _image_prompt(prompt: ImagePrompt, index: int) -> Fields:
    stop, weight = TYPE_DEFAULTS[prompt.cn_type]
    return {
        "type": prompt.cn_type,
        "image_url": source(prompt.cn_img, ["body", "image_prompts", index, "cn_img"]),
        "stop_at": prompt.cn_stop or stop,
        "weight": prompt.cn_weight or weight,
    }


def _upscale(request: UpscaleVaryRequest, advanced: Fields) -> Fields:
    url = source(request.input_image, ["body", "input_image"])
    if url is None:
        raise FieldError(["body", "input_image"], message="Field required")
    method = str(request.uov_method)
    if request.uov_method is UpscaleVaryMethod.UPSCALE_CUSTOM:
        method = UovMethod.UPSCALE_2
        advanced["upscale_value"] = request.upscale_value or CUSTOM_FACTOR
    return {"endpoint": "upscale-or-vary", "uov_image_url": url, "uov_method": method}


def _inpaint(request: InpaintFields, advanced: Fields) -> Fields:
    """Nothing without a picture, or with neither a mask nor a side to grow: Fooocus then makes a plain picture."""
    url = source(request.input_image, ["body", "input_image"])
    mask = source(request.input_mask, ["body", "input_mask"])
    if url is None and isinstance(request, InpaintOutpaintForm):
        raise FieldError(["body", "input_image"], message="Field required")
    if url is None or (mask is None and not request.outpaint_selections):
        return {}
    assert isinstance(request, CommonRequest), "Every body with inpaint fields is a generating one. This is a bug."
    params = request.advanced_params
    distances = _distances(request)
    if distances:
        advanced["outpaint_distances"] = distances
    return {
        "endpoint": "inpaint",
        "inpaint_image_url": url,
        "mask_image_url": mask,
        "inpaint_additional_prompt": request.inpaint_additional_prompt,
        "outpaint_selections": list(dict.fromkeys(request.outpaint_selections)),
        "override_inpaint_options": True,
        "inpaint_disable_initial_latent": params.inpaint_disable_initial_latent,
        "inpaint_engine": params.inpaint_engine,
        "inpaint_strength": max(params.inpaint_strength, LEAST_STRENGTH),
        "inpaint_respective_field": params.inpaint_respective_field,
        "inpaint_erode_or_dilate": params.inpaint_erode_or_dilate,
        "invert_mask": params.invert_mask_checkbox,
    }


def _distances(request: InpaintFields) -> Fields:
    """Distances of the selected sides; one without its selection does nothing."""
    sides = {str(side).lower() for side in request.outpaint_selections}
    given = {side: getattr(request, f"outpaint_distance_{side}") for side in sides}
    return {side: distance for side, distance in given.items() if distance > 0}
