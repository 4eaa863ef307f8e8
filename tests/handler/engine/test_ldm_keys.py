"""LDM names follow from a network's configuration: the golden map for SDXL's layout, and other layouts too."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from handler.engine import ldm_keys
from handler.engine.blueprint import build, read_config
from handler.engine.checkpoint import BUILT_IN
from handler.engine.ldm_keys import Place
from tests.support.networks import WEIGHTS

GOLDEN_NAMES = json.loads((WEIGHTS / "ldm_to_diffusers_keys.json").read_text())


@pytest.mark.parametrize(
    ("network", "places", "prefix"),
    [
        ("unet", ldm_keys.unet_places, ldm_keys.UNET_PREFIX),
        ("vae", ldm_keys.vae_places, ldm_keys.VAE_PREFIX),
    ],
)
def test_the_golden_map(network: str, places: Any, prefix: str) -> None:
    names = GOLDEN_NAMES[network]
    made = places(read_config(WEIGHTS / "diffusers", network), names.values())
    assert made == {theirs: Place(prefix + ours) for ours, theirs in names.items()}


@pytest.mark.parametrize(
    ("network", "count"), [("unet", 1680), ("vae", 248), ("text_encoder", 196), ("text_encoder_2", 517)]
)
def test_every_parameter_of_sdxl_has_a_place_of_its_own(network: str, count: int) -> None:
    config = read_config(BUILT_IN, network)
    parameters = list(build(network, config).state_dict())
    places = {
        "unet": lambda: ldm_keys.unet_places(config, parameters),
        "vae": lambda: ldm_keys.vae_places(config, parameters),
        "text_encoder": lambda: ldm_keys.clip_l_places(parameters),
        "text_encoder_2": lambda: ldm_keys.clip_g_places(parameters),
    }[network]()
    assert len(parameters) == count
    assert places.keys() == set(parameters)
    assert len(set(places.values())) == count


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("conv_in.weight", "input_blocks.0.0.weight"),
        ("down_blocks.0.resnets.1.conv1.weight", "input_blocks.2.0.in_layers.2.weight"),
        ("down_blocks.0.downsamplers.0.conv.bias", "input_blocks.3.0.op.bias"),
        ("down_blocks.2.attentions.1.transformer_blocks.9.attn1.to_out.0.bias",
         "input_blocks.8.1.transformer_blocks.9.attn1.to_out.0.bias"),
        ("mid_block.resnets.1.time_emb_proj.weight", "middle_block.2.emb_layers.1.weight"),
        ("up_blocks.0.attentions.2.proj_out.weight", "output_blocks.2.1.proj_out.weight"),
        ("up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
        ("up_blocks.2.resnets.2.conv_shortcut.weight", "output_blocks.8.0.skip_connection.weight"),
        ("add_embedding.linear_2.weight", "label_emb.0.2.weight"),
        ("conv_norm_out.weight", "out.0.weight"),
    ],
)  # fmt: skip
def test_names_of_sdxl(ours: str, theirs: str) -> None:
    places = ldm_keys.unet_places(read_config(BUILT_IN, "unet"), [ours])
    assert places[ours].name == "model.diffusion_model." + theirs


def test_a_layout_of_another_depth() -> None:
    """Four levels of one and two layers, attention only at the second: an upsampler without attention before it."""
    down = ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D")
    config = {
        "down_block_types": down,
        "up_block_types": tuple(kind.replace("Down", "Up") for kind in reversed(down)),
        "layers_per_block": (1, 2, 1, 1),
        "block_out_channels": (32, 32, 32, 32),
        "cross_attention_dim": 8,
        "attention_head_dim": 8,
    }
    with torch.device("meta"):
        unet = UNet2DConditionModel(**config)
    places = ldm_keys.unet_places(config, unet.state_dict())
    names = {ours: place.name.removeprefix(ldm_keys.UNET_PREFIX) for ours, place in places.items()}
    assert len(set(names.values())) == len(unet.state_dict())
    assert names["down_blocks.1.resnets.1.conv1.weight"] == "input_blocks.4.0.in_layers.2.weight"
    assert names["down_blocks.2.downsamplers.0.conv.weight"] == "input_blocks.7.0.op.weight"
    assert names["up_blocks.0.upsamplers.0.conv.weight"] == "output_blocks.1.1.conv.weight"
    assert names["up_blocks.2.upsamplers.0.conv.weight"] == "output_blocks.6.2.conv.weight"


def test_clip_g_is_split_and_turned() -> None:
    places = ldm_keys.clip_g_places(
        [
            "text_model.encoder.layers.3.self_attn.k_proj.bias",
            "text_projection.weight",
            "text_model.final_layer_norm.bias",
        ]
    )
    root = "conditioner.embedders.1.model."
    assert list(places.values()) == [
        Place(root + "transformer.resblocks.3.attn.in_proj_bias", 1, 3),
        Place(root + "text_projection", transposed=True),
        Place(root + "ln_final.bias"),
    ]
