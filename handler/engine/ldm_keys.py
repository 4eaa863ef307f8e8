"""Names of SDXL's parameters in single-file checkpoints (LDM naming), made from the networks' configurations.

Each function maps the parameter names of a diffusers or transformers module to where a single file keeps them.
The layout of blocks is not assumed: it follows `down_block_types`, `up_block_types` and `layers_per_block`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

UNET_PREFIX = "model.diffusion_model."
VAE_PREFIX = "first_stage_model."
CLIP_L_PREFIX = "conditioner.embedders.0.transformer.text_model."
CLIP_G_PREFIX = "conditioner.embedders.1.model."

RESNET_PARTS = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_RESNET_PARTS = {"conv_shortcut": "nin_shortcut"}
VAE_ATTENTION_PARTS = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP_PARTS = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
STACKED = ("q_proj", "k_proj", "v_proj")


@dataclass(frozen=True)
class Place:
    """Where a file keeps a parameter: the tensor's name, and how it differs from the parameter.

    part, parts: the share of the first dimension that is this parameter; transposed: rows and columns swapped.
    """

    name: str
    part: int = 0
    parts: int = 1
    transposed: bool = False


def unet_places(config: Mapping[str, Any], parameters: Iterable[str]) -> dict[str, Place]:
    """config: of a UNet2DConditionModel. Parameters that LDM does not have are left out."""
    modules = unet_modules(config)
    return _places(UNET_PREFIX, {name: unet_name(modules, name) for name in parameters})


def unet_name(modules: Mapping[str, str], parameter: str) -> str | None:
    """The LDM name, without the file's prefix, of one parameter or module; None when LDM has none."""
    module, inner = _split(modules, parameter)
    if module is None:
        return None
    renamed = _renamed(inner, RESNET_PARTS) if ".resnets." in module else inner
    return f"{modules[module]}{renamed}"


def unet_modules(config: Mapping[str, Any]) -> dict[str, str]:
    """diffusers module name -> LDM module name, for every block of the network."""
    names = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
    }
    return names | _down_modules(config) | _up_modules(config)


def _down_modules(config: Mapping[str, Any]) -> dict[str, str]:
    names: dict[str, str] = {}
    index = 1
    kinds = config["down_block_types"]
    for level, (kind, layers) in enumerate(zip(kinds, _layers(config), strict=True)):
        for layer in range(layers):
            names |= _layer(f"down_blocks.{level}", layer, f"input_blocks.{index}", "CrossAttn" in kind)
            index += 1
        if level < len(kinds) - 1:
            names[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{index}.0.op"
            index += 1
    return names


def _up_modules(config: Mapping[str, Any]) -> dict[str, str]:
    names: dict[str, str] = {}
    index = 0
    kinds = config["up_block_types"]
    for level, (kind, layers) in enumerate(zip(kinds, reversed(_layers(config)), strict=True)):
        cross = "CrossAttn" in kind
        for layer in range(layers + 1):
            names |= _layer(f"up_blocks.{level}", layer, f"output_blocks.{index}", cross)
            index += 1
        if level < len(kinds) - 1:
            place = f"output_blocks.{index - 1}.{1 + cross}.conv"
            names[f"up_blocks.{level}.upsamplers.0.conv"] = place
    return names


def _layers(config: Mapping[str, Any]) -> list[int]:
    layers = config["layers_per_block"]
    return [layers] * len(config["down_block_types"]) if isinstance(layers, int) else list(layers)


def _layer(block: str, layer: int, place: str, cross: bool) -> dict[str, str]:
    names = {f"{block}.resnets.{layer}": f"{place}.0"}
    if cross:
        names[f"{block}.attentions.{layer}"] = f"{place}.1"
    return names


def vae_places(config: Mapping[str, Any], parameters: Iterable[str]) -> dict[str, Place]:
    """config: of an AutoencoderKL. Its attention is linear here and a 1x1 convolution in files."""
    modules = _vae_modules(len(config["block_out_channels"]), config["layers_per_block"])
    return _places(VAE_PREFIX, {name: _vae_name(modules, name) for name in parameters})


def _vae_modules(levels: int, layers: int) -> dict[str, str]:
    names = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    for side in ("encoder", "decoder"):
        names |= {f"{side}.conv_in": f"{side}.conv_in", f"{side}.conv_out": f"{side}.conv_out"}
        names[f"{side}.conv_norm_out"] = f"{side}.norm_out"
        names[f"{side}.mid_block.resnets.0"] = f"{side}.mid.block_1"
        names[f"{side}.mid_block.attentions.0"] = f"{side}.mid.attn_1"
        names[f"{side}.mid_block.resnets.1"] = f"{side}.mid.block_2"
    for level in range(levels):
        down, up = f"encoder.down.{level}", f"decoder.up.{levels - 1 - level}"
        names[f"encoder.down_blocks.{level}.downsamplers.0.conv"] = f"{down}.downsample.conv"
        names[f"decoder.up_blocks.{level}.upsamplers.0.conv"] = f"{up}.upsample.conv"
        for layer in range(layers):
            names[f"encoder.down_blocks.{level}.resnets.{layer}"] = f"{down}.block.{layer}"
        for layer in range(layers + 1):
            names[f"decoder.up_blocks.{level}.resnets.{layer}"] = f"{up}.block.{layer}"
    return names


def _vae_name(modules: Mapping[str, str], parameter: str) -> str | None:
    module, inner = _split(modules, parameter)
    if module is None:
        return None
    parts = VAE_ATTENTION_PARTS if ".attentions." in module else VAE_RESNET_PARTS
    return f"{modules[module]}{_renamed(inner, parts)}"


def clip_l_places(parameters: Iterable[str]) -> dict[str, Place]:
    """CLIP-L is stored under transformers' own names, behind a prefix."""
    return {name: Place(CLIP_L_PREFIX + name.removeprefix("text_model.")) for name in parameters}


def clip_g_places(parameters: Iterable[str]) -> dict[str, Place]:
    """CLIP-G is stored as OpenCLIP has it: q, k, v stacked in one tensor, the text projection transposed."""
    return {name: _open_clip_place(name.removeprefix("text_model.")) for name in parameters}


def _open_clip_place(name: str) -> Place:
    whole = {
        "embeddings.token_embedding.weight": "token_embedding.weight",
        "embeddings.position_embedding.weight": "positional_embedding",
        "final_layer_norm.weight": "ln_final.weight",
        "final_layer_norm.bias": "ln_final.bias",
    }
    if name == "text_projection.weight":
        return Place(CLIP_G_PREFIX + "text_projection", transposed=True)
    if name in whole:
        return Place(CLIP_G_PREFIX + whole[name])
    layer, _, inner = name.removeprefix("encoder.layers.").partition(".")
    block = f"{CLIP_G_PREFIX}transformer.resblocks.{layer}."
    module, _, kind = inner.rpartition(".")
    projection = module.removeprefix("self_attn.")
    if projection in STACKED:
        return Place(f"{block}attn.in_proj_{kind}", STACKED.index(projection), len(STACKED))
    return Place(f"{block}{OPEN_CLIP_PARTS.get(module, module)}.{kind}")


def _places(prefix: str, names: Mapping[str, str | None]) -> dict[str, Place]:
    return {name: Place(prefix + theirs) for name, theirs in names.items() if theirs is not None}


def _split(modules: Mapping[str, str], parameter: str) -> tuple[str | None, str]:
    """The longest known module the name begins with, and the rest with its dot."""
    end = len(parameter)
    while end > 0:
        if parameter[:end] in modules:
            return parameter[:end], parameter[end:]
        end = parameter.rfind(".", 0, end)
    return None, parameter


def _renamed(inner: str, parts: Mapping[str, str]) -> str:
    """`.conv1.weight` -> `.in_layers.2.weight`; names without an entry stay."""
    for ours, theirs in parts.items():
        if inner == f".{ours}" or inner.startswith(f".{ours}."):
            return f".{theirs}{inner[len(ours) + 1 :]}"
    return inner
