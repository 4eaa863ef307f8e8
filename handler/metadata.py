"""What the metadata of a picture says: Fooocus's log entries, made from the plan."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from handler.media.metadata import Metadata, Record, write
from handler.models_folders import checkpoint_name
from handler.plan.plan import ImagePlan, Plan, RefinerPlan
from handler.plan.prompt.styles import EXPANSION
from schemas.enums import RefinerSwapMethod

VERSION = "Fooocus v2.5.5"
"""The version whose recipe and metadata format this worker follows; readers of the metadata look for it."""

DEFAULT_ADAPTIVE_CFG = 7.0
DEFAULT_VAE = "Default (model)"
SHORT_HASH = 10


def picture_metadata(plan: Plan, image: ImagePlan) -> Metadata | None:
    """The metadata to embed in one picture, None when none was asked for; none in one that was not sampled."""
    if not plan.output.metadata or _factors(plan):
        return None
    record = Record(
        values=entries(plan, image, checkpoint_name(plan.base)),
        positive=image.positive,
        negative=image.negative,
        base_model_hash=_hash_of_model(plan.base),
        refiner_model_hash="".join(_hash_of_model(refiner.path) for refiner in plan.refiner),
        loras=[(lora.path.name, lora.scale, _hash(lora.path)) for lora in plan.loras],
    )
    return write(record, plan.output.metadata[0])


def entries(plan: Plan, image: ImagePlan, base_model: str) -> dict[str, Any]:
    """Fooocus's log entries by key, in its order; optional ones are left out at their defaults."""
    for factor in _factors(plan):
        return {"upscale_fast": f"{factor:g}x"}
    guidance, sampling = plan.guidance, plan.sampling
    styles = [EXPANSION, *image.styles] if image.expansion else list(image.styles)
    values: dict[str, Any] = {
        "prompt": image.prompt,
        "negative_prompt": image.negative_prompt,
        "prompt_expansion": image.expansion,
        "styles": str(styles),
        "performance": str(plan.performance),
        "steps": sampling.steps,
        "resolution": str((plan.width, plan.height)),
        "guidance_scale": guidance.cfg,
        "sharpness": guidance.sharpness,
        "adm_guidance": str((guidance.adm_positive, guidance.adm_negative, guidance.adm_end)),
        "base_model": base_model,
        "refiner_model": "None",
        "refiner_switch": plan.refiner_switch,
    }
    for refiner in plan.refiner:
        values |= _refiner_entries(refiner)
    if guidance.adaptive_cfg != DEFAULT_ADAPTIVE_CFG:
        values["adaptive_cfg"] = guidance.adaptive_cfg
    if plan.clip_skip > 1:
        values["clip_skip"] = plan.clip_skip
    values |= {
        "sampler": str(sampling.sampler),
        "scheduler": str(sampling.scheduler),
        "vae": next((vae.path.name for vae in plan.vae), DEFAULT_VAE),
        "seed": str(image.seed),
    }
    for freeu in plan.freeu:
        values["freeu"] = str((freeu.b1, freeu.b2, freeu.s1, freeu.s2))
    for number, lora in enumerate(plan.loras, 1):
        values[f"lora_combined_{number}"] = f"{lora.path.name} : {lora.scale}"
    scheme = str(plan.output.metadata[0]) if plan.output.metadata else False
    return values | {"metadata_scheme": scheme, "version": VERSION}


def _factors(plan: Plan) -> list[float]:
    """The one of a picture that is only upscaled."""
    return [uov.factor for uov in plan.uov if not uov.diffused]


def _refiner_entries(refiner: RefinerPlan) -> dict[str, Any]:
    values: dict[str, Any] = {"refiner_model": refiner.path.name}
    if refiner.overwritten:
        values["overwrite_switch"] = refiner.switch
    if refiner.method is not RefinerSwapMethod.JOINT:
        values["refiner_swap_method"] = str(refiner.method)
    return values


def _hash_of_model(checkpoint: Path) -> str:
    """Of a diffusers folder, the hash of its UNet."""
    if checkpoint.is_dir():
        checkpoint = next(iter(sorted((checkpoint / "unet").glob("*.safetensors"))))
    return _hash(checkpoint)


def _hash(path: Path) -> str:
    status = path.stat()
    return _hash_once(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _hash_once(path: Path, _modified: int, _size: int) -> str:
    """The first SHORT_HASH hex digits of the file's sha256, computed once per version of the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:SHORT_HASH]
