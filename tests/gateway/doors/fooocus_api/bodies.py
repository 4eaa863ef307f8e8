"""Bodies with every field of Fooocus-API, each with another value than its default."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image


def png_bytes(colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = base64.b64encode(png_bytes()).decode()
URI = f"data:image/png;base64,{PICTURE}"

ADVANCED: dict[str, Any] = {
    "disable_preview": True, "disable_intermediate_results": True, "disable_seed_increment": True,
    "adm_scaler_positive": 1.25, "adm_scaler_negative": 0.75, "adm_scaler_end": 0.5, "adaptive_cfg": 9.5,
    "clip_skip": 3, "refiner_swap_method": "separate", "sampler_name": "euler", "scheduler_name": "simple",
    "overwrite_step": 7, "overwrite_switch": 5, "overwrite_width": 640, "overwrite_height": 512,
    "overwrite_vary_strength": 0.25, "overwrite_upscale_strength": 0.125,
    "mixing_image_prompt_and_vary_upscale": True, "mixing_image_prompt_and_inpaint": True,
    "debugging_cn_preprocessor": False, "skipping_cn_preprocessor": True, "controlnet_softness": 0.75,
    "canny_low_threshold": 32, "canny_high_threshold": 200, "freeu_enabled": True, "freeu_b1": 1.1, "freeu_b2": 1.2,
    "freeu_s1": 0.9, "freeu_s2": 0.8, "debugging_inpaint_preprocessor": False,
    "inpaint_disable_initial_latent": True, "inpaint_engine": "v1", "inpaint_strength": 0.5,
    "inpaint_respective_field": 0.25, "inpaint_mask_upload_checkbox": True,
    "inpaint_advanced_masking_checkbox": False, "invert_mask_checkbox": True, "inpaint_erode_or_dilate": -3,
    "black_out_nsfw": True, "vae_name": "other.safetensors",
}  # fmt: skip

COMMON: dict[str, Any] = {
    "prompt": "a bear", "negative_prompt": "blurry", "style_selections": ["SAI Anime", "Fooocus V2"],
    "performance_selection": "Quality", "aspect_ratios_selection": "640*512", "image_number": 32, "image_seed": 7,
    "sharpness": 3.5, "guidance_scale": 5, "base_model_name": "a.safetensors",
    "refiner_model_name": "refiner.safetensors", "refiner_switch": 0.7,
    "loras": [{"enabled": True, "model_name": "a.safetensors", "weight": -1.5}], "advanced_params": ADVANCED,
    "save_meta": False, "meta_scheme": "a1111", "save_extension": "webp", "save_name": "bear",
    "read_wildcards_in_order": True, "require_base64": True, "async_process": True,
    "webhook_url": "https://example.com/hook",
}  # fmt: skip

INPAINT: dict[str, Any] = {
    "input_image": PICTURE, "input_mask": base64.b64encode(png_bytes("white")).decode(),
    "inpaint_additional_prompt": "fur", "outpaint_selections": ["Left", "Top", "Right", "Bottom"],
    "outpaint_distance_left": 64, "outpaint_distance_right": 8, "outpaint_distance_top": 16,
    "outpaint_distance_bottom": 24,
}  # fmt: skip

PROMPTS: dict[str, Any] = {
    "image_prompts": [
        {"cn_img": PICTURE, "cn_stop": 0.4, "cn_weight": 1.2, "cn_type": "CPDS"},
        {},
        {"cn_img": PICTURE, "cn_stop": 0.1, "cn_weight": 0.3, "cn_type": "FaceSwap"},
        {"cn_img": PICTURE, "cn_stop": 0.9, "cn_weight": 1.9, "cn_type": "PyraCanny"},
    ]
}

UPSCALE: dict[str, Any] = {"input_image": PICTURE, "uov_method": "Upscale (Custom)", "upscale_value": 3.5}
