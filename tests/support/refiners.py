"""Refiner checkpoints beside the tiny base model: the golden set's second network, and random ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file

from handler.engine.ldm_keys import UNET_PREFIX, unet_places
from handler.engine.refiner.interposer import FILE as INTERPOSER
from handler.engine.refiner.interposer import Interposer
from tests.support.networks import CHECKPOINT, WEIGHTS


def write_refiner(models: Path, name: str = "tiny_refiner", labels: int | None = None) -> Path:
    """Add the golden set's second network to a models folder, as a checkpoint in one file with its configuration.

    labels: cut what it is told beside the prompt to so many numbers, as the SDXL refiner's is.
    """
    state = load_file(CHECKPOINT) | load_file(WEIGHTS / "tiny_refiner_overrides.safetensors")
    config = json.loads((WEIGHTS / "diffusers" / "unet" / "config.json").read_text())
    if labels is not None:
        place = f"{UNET_PREFIX}label_emb.0.0.weight"
        state[place] = state[place].float()[:, :labels].contiguous()
        config["projection_class_embeddings_input_dim"] = labels
    path = models / "checkpoints" / f"{name}.safetensors"
    save_file(state, path)
    folder = models / "configs" / name / "unet"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    return path


SD15_UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "block_out_channels": [32, 32, 64, 64],
    "layers_per_block": 2,
    "attention_head_dim": 4,
    "cross_attention_dim": 16,
}
"""SD 1.5's layout, as wide as the tiny networks."""


def write_sd15(models: Path, name: str = "tiny_sd15", seed: int = 0) -> Path:
    """Add a random network of SD 1.5's layout, with the tiny VAE, and a narrow interposer."""
    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_config(SD15_UNET)
    places = unet_places(unet.config, unet.state_dict())
    state = {places[key].name: value for key, value in unet.state_dict().items()}
    state |= {key: value for key, value in load_file(CHECKPOINT).items() if key.startswith("first_stage_model.")}
    state["cond_stage_model.transformer.text_model.x"] = torch.zeros(1)
    path = models / "checkpoints" / f"{name}.safetensors"
    save_file(state, path)
    folder = models / "configs" / name
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "config.json").write_text(json.dumps(SD15_UNET))
    shutil.copytree(WEIGHTS / "diffusers" / "vae", folder / "vae")
    (models / "vae_approx").mkdir(exist_ok=True)
    save_file(Interposer(8, 2).state_dict(), models / INTERPOSER)
    return path
