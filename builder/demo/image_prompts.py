"""An IP-Adapter "plus" for the demo UNet, and the CLIP vision network that sees pictures for it.

The classes are transformers' and diffusers'; the files have the names and tensors of the real ones. Keys and values
begin as the UNet's own for texts: what the picture is made into is first taught to resemble the text that names it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, IPAdapterAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel

ENCODER = "clip_vision/clip_vision_vit_h.safetensors"
ENCODER_CONFIG = "configs/clip_vision_vit_h/clip_vision/config.json"
NEGATIVE = "controlnet/fooocus_ip_negative.safetensors"
ADAPTERS = {
    "plus": "controlnet/ip-adapter-plus_sdxl_vit-h.safetensors",
    "plus-face": "controlnet/ip-adapter-plus-face_sdxl_vit-h.safetensors",
}
TOKENS, WIDTH, HEAD_WIDTH = 8, 48, 64
VISION = {
    "hidden_act": "gelu",
    "hidden_size": 32,
    "image_size": 32,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-05,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "patch_size": 8,
}
"""The last layer is left out, here and in the file: image prompts use what comes out of the one before."""
MEAN = torch.tensor((0.48145466, 0.4578275, 0.40821073))
STD = torch.tensor((0.26862954, 0.26130258, 0.27577711))
MATRICES = torch.float8_e4m3fn
"""How keys' and values' matrices are stored; in float16 two adapters would not fit into the bundle."""


def create_encoder(seed: int) -> CLIPVisionModel:
    """The vision network with random weights, the same for the same seed."""
    torch.manual_seed(seed)
    settings = VISION | {"num_hidden_layers": VISION["num_hidden_layers"] - 1}
    encoder = CLIPVisionModel(CLIPVisionConfig(**settings))
    embeddings = next(module for module in encoder.modules() if hasattr(module, "patch_embedding"))
    embeddings.patch_embedding.weight.data.normal_(std=0.1)
    embeddings.position_embedding.weight.data.normal_(std=0.3)
    return encoder


def as_input(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures squashed to the encoder's square, as CLIP wants them: (n, 3, side, side)."""
    side = int(VISION["image_size"])
    squares = [np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS)) for picture in pictures]
    return ((torch.from_numpy(np.stack(squares)).float() / 255 - MEAN) / STD).permute(0, 3, 1, 2)


def cross_attentions(unet: UNet2DConditionModel) -> dict[int, Attention]:
    """Where the UNet looks at texts, by place among all attentions, as files count."""
    places = enumerate(unet.attn_processors)
    return {n: unet.get_submodule(name.removesuffix(".processor")) for n, name in places if ".attn2." in name}


class Adapter(nn.Module):
    """A resampler, and for each cross-attention of a UNet a layer that makes keys and one that makes values."""

    def __init__(self, unet: UNet2DConditionModel, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.resampler = IPAdapterPlusImageProjection(
            int(VISION["hidden_size"]),
            unet.config.cross_attention_dim,
            WIDTH,
            depth=1,
            dim_head=HEAD_WIDTH,
            heads=1,
            num_queries=TOKENS,
            ffn_ratio=2,
        )
        nn.init.normal_(self.resampler.latents)
        self.places = nn.ModuleDict({str(n): _processor(place) for n, place in cross_attentions(unet).items()})

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, places, width) -> tokens (n, TOKENS, width of texts)."""
        return self.resampler(features)

    @contextmanager
    def shown_to(self, unet: UNet2DConditionModel, weight: float) -> Iterator[None]:
        """Inside, the UNet takes (texts, [tokens]) for its context, and heeds the tokens by `weight`."""
        places = cross_attentions(unet)
        before = {n: place.processor for n, place in places.items()}
        widest = max(place.to_q.out_features for place in places.values())
        for n, place in places.items():
            own = self.places[str(n)]
            own.scale = [weight * place.to_q.out_features / widest]
            place.processor = own
        try:
            yield
        finally:
            for n, place in places.items():
                del place.processor
                place.processor = before[n]

    def tensors(self) -> dict[str, Tensor]:
        """The file's contents."""
        state = {f"image_proj.{name}": value for name, value in _original_names(self.resampler.state_dict()).items()}
        for n, place in self.places.items():
            state[f"ip_adapter.{n}.to_k_ip.weight"] = place.to_k_ip[0].weight
            state[f"ip_adapter.{n}.to_v_ip.weight"] = place.to_v_ip[0].weight
        return {name: value.detach() for name, value in state.items()}


def _processor(place: Attention) -> IPAdapterAttnProcessor2_0:
    """One that shows a picture as the UNet is shown a text."""
    own = IPAdapterAttnProcessor2_0(place.to_k.out_features, place.to_k.in_features, (TOKENS,))
    own.to_k_ip[0].weight.data.copy_(place.to_k.weight.data)
    own.to_v_ip[0].weight.data.copy_(place.to_v.weight.data)
    return own


RENAMED = (
    (".ln0.", ".0.norm1."), (".ln1.", ".0.norm2."), (".attn.to_q.", ".0.to_q."), (".attn.to_out.0.", ".0.to_out."),
    (".ff.1.net.0.proj.", ".1.1."), (".ff.1.net.2.", ".1.3."), (".ff.0.", ".1.0."),
)  # fmt: skip
"""diffusers' names of a resampler's parts, and those of files."""


def _original_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        for theirs, files in RENAMED:
            name = name.replace(theirs, files)
        if ".attn.to_k." in name:
            both = torch.cat([value, state[name.replace("to_k", "to_v")]])
            renamed[name.replace(".attn.to_k.", ".0.to_kv.")] = both
        elif ".attn.to_v." not in name:
            renamed[name] = value
    return renamed


def write_encoder(encoder: CLIPVisionModel, folder: Path) -> None:
    """Write the vision network and what describes its size."""
    state = {f"vision_model.{name.removeprefix('vision_model.')}": v for name, v in encoder.state_dict().items()}
    _save({name: value for name, value in state.items() if value.is_floating_point()}, folder / ENCODER)
    config = folder / ENCODER_CONFIG
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps(VISION, indent=2) + "\n", encoding="utf-8")


def write_adapter(adapter: Adapter, name: str, folder: Path) -> None:
    """Write an adapter of `ADAPTERS`."""
    _save(adapter.tensors(), folder / ADAPTERS[name])


def write_negative(tokens: Tensor, folder: Path) -> None:
    """Write the tokens (TOKENS, width) that stand against every picture."""
    _save({"data": tokens[None]}, folder / NEGATIVE)


def _save(state: dict[str, Tensor], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    types = {name: MATRICES if name.endswith("_ip.weight") else torch.float16 for name in state}
    save_file({name: value.to(types[name]).contiguous() for name, value in state.items()}, str(path))
