"""The tiny SDXL-shaped networks of the golden set, as diffusers modules."""

from __future__ import annotations

import json
from functools import cache

import torch
from diffusers import UNet2DConditionModel

from benchmarks.parity.vectors import unpacked
from tests.support.golden import GOLDEN, load_weights

WEIGHTS = GOLDEN / "weights"
CHECKPOINT = unpacked(WEIGHTS / "tiny_base.safetensors")
UNET_PREFIX = "model.diffusion_model."


@cache
def tiny_unet() -> UNet2DConditionModel:
    """The base UNet in float32 on the CPU, for reading only: one instance is shared by all tests of a run."""
    return build_tiny_unet()


def build_tiny_unet() -> UNet2DConditionModel:
    """A base UNet of the caller's own."""
    names = json.loads((WEIGHTS / "ldm_to_diffusers_keys.json").read_text())["unet"]
    stored = load_weights(CHECKPOINT)
    state = {theirs: stored[UNET_PREFIX + ours] for ours, theirs in names.items()}
    config = json.loads((WEIGHTS / "diffusers" / "unet" / "config.json").read_text())
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(config)
    unet.load_state_dict(state, strict=True, assign=True)
    return unet.eval().requires_grad_(False)
