"""Small control parts for a UNet: ControlNets in every form, an image encoder, IP-Adapters. Random, unless said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel

from handler.engine.control.attention import cross_attentions
from handler.engine.control.names import controlnet_names
from handler.engine.control.resampler import Resampler

CANNY = "control-lora-canny-rank128.safetensors"
CPDS = "fooocus_xl_cpds_128.safetensors"
ENCODER_WIDTH, TOKENS = 32, 4
VISION = {
    "hidden_act": "gelu",
    "hidden_size": ENCODER_WIDTH,
    "image_size": 56,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "patch_size": 14,
}
LOUD = 0.2
"""Standard deviation of what trained parts begin with as zeros, so that a random part is seen in a picture."""


def random_controlnet(unet: UNet2DConditionModel, seed: int = 0) -> ControlNetModel:
    """A ControlNet that is no copy of the UNet and acts."""
    torch.manual_seed(seed)
    network = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    for name, parameter in network.named_parameters():
        if name.startswith(("controlnet_down", "controlnet_mid", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(parameter, std=LOUD)
    return network.eval().requires_grad_(False)


def write_diffusers_folder(path: Path, network: ControlNetModel) -> None:
    network.save_pretrained(path)


def write_diffusers_file(path: Path, network: ControlNetModel) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), path)


def write_ldm_file(path: Path, network: ControlNetModel, prefix: str = "control_model.") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = network.state_dict()
    names = controlnet_names(network.config, state)
    save_file({prefix + names[key]: value for key, value in state.items()}, path)


def write_bare_ldm_file(path: Path, network: ControlNetModel) -> None:
    write_ldm_file(path, network, "")


FORMS: dict[str, Callable[[Path, ControlNetModel], None]] = {
    "folder": write_diffusers_folder,
    "diffusers.safetensors": write_diffusers_file,
    "ldm.safetensors": write_ldm_file,
    "bare.safetensors": write_bare_ldm_file,
}
"""How a ControlNet is written, by a file name that fits."""


def write_image_prompts(models: Path, unet: UNet2DConditionModel, seed: int = 0, scale: float = 1.0) -> None:
    """Fill a models folder with all that ImagePrompt and FaceSwap need.

    scale: of the matrices that make keys and values.
    """
    torch.manual_seed(seed)
    write_encoder(models)
    for name in ("ip-adapter-plus_sdxl_vit-h", "ip-adapter-plus-face_sdxl_vit-h"):
        save(models / "controlnet" / f"{name}.safetensors", adapter_state(unet, scale))
    negative = torch.randn(1, TOKENS, unet.config.cross_attention_dim)
    save(models / "controlnet" / "fooocus_ip_negative.safetensors", {"data": negative})


def write_encoder(models: Path) -> None:
    """A CLIP with a vision half, and beside it something of the other half."""
    network = CLIPVisionModel(CLIPVisionConfig(**VISION))
    state = {
        f"vision_model.{name.removeprefix('vision_model.')}": value for name, value in network.state_dict().items()
    }
    save(models / "clip_vision" / "clip_vision_vit_h.safetensors", state | {"logit_scale": torch.ones(1)})
    folder = models / "configs" / "clip_vision_vit_h" / "clip_vision"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(VISION))


def adapter_state(unet: UNet2DConditionModel, scale: float = 1.0) -> dict[str, Tensor]:
    width = unet.config.cross_attention_dim
    resampler = Resampler(ENCODER_WIDTH, 32, width, TOKENS, layers=4, inner=64, ff=128)
    torch.nn.init.normal_(resampler.latents)
    state = {f"image_proj.{name}": value for name, value in resampler.state_dict().items()}
    for place in cross_attentions(unet):
        for kind in ("to_k_ip", "to_v_ip"):
            matrix = torch.randn(place.module.to_k.weight.shape[0], width) * scale / width**0.5
            state[f"ip_adapter.{place.number}.{kind}.weight"] = matrix
    return state


def save(path: Path, state: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in state.items()}, path)
