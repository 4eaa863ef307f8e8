"""The networks a checkpoint consists of, as built from configurations: all shapes, no memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig
from transformers.initialization import no_init_weights
from transformers.models.clip.modeling_clip import CLIPTextModel, CLIPTextModelWithProjection

from handler.engine.weights import WeightsError

Config = Mapping[str, Any]

MAX_CONFIG_BYTES = 2**20

COMPONENTS: dict[str, Callable[[Config], nn.Module]] = {
    "unet": UNet2DConditionModel.from_config,
    "vae": AutoencoderKL.from_config,
    "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig(**config)),
    "text_encoder_2": lambda config: CLIPTextModelWithProjection(CLIPTextConfig(**config)),
}
"""How each network, by its diffusers name, is built from its config.json."""


def read_config(folder: Path, component: str) -> dict[str, Any]:
    """`<folder>/<component>/config.json`. Raises WeightsError when it is missing or no JSON object."""
    path = folder / component / "config.json"
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise WeightsError(f"{component}/config.json is too large")
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder.name} has no readable {component}/config.json") from error
    if not isinstance(config, dict):
        raise WeightsError(f"{folder.name} has no readable {component}/config.json")
    return config


@contextmanager
def shapes_only() -> Iterator[None]:
    """Networks built in here have shapes and no memory, and spend no time on numbers they do not keep."""
    with torch.device("meta"), no_init_weights():
        yield


def build(component: str, config: Config) -> nn.Module:
    """The network on the meta device. Raises WeightsError for a configuration it cannot be built from."""
    try:
        with shapes_only():
            return COMPONENTS[component](config).eval().requires_grad_(False)
    except Exception as error:
        raise WeightsError(f"the configuration of {component} describes no network") from error


def check_sdxl(configs: Mapping[str, Config]) -> None:
    """Raises WeightsError unless the networks fit together the way SDXL's do."""
    unet, clip_l, clip_g = (configs[name] for name in ("unet", "text_encoder", "text_encoder_2"))
    if unet.get("addition_embed_type") != "text_time" or unet.get("in_channels") != 4:
        raise WeightsError("this is not an SDXL base model: its UNet takes no picture size or no 4-channel latents")
    width = clip_l.get("hidden_size", 0) + clip_g.get("hidden_size", 0)
    if unet.get("cross_attention_dim") != width:
        raise WeightsError("this is not an SDXL base model: its text encoders do not fit its UNet")
    ids = 6 * unet.get("addition_time_embed_dim", 0)
    if unet.get("projection_class_embeddings_input_dim") != clip_g.get("projection_dim", 0) + ids:
        raise WeightsError("this is not an SDXL base model: its pooled text vector does not fit its UNet")
