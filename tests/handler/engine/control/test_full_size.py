"""SDXL's own layout, without its weights: adapters' numbers and Control-LoRAs' names meet the layers they mean."""

from __future__ import annotations

import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel

from handler.engine.blueprint import build, read_config
from handler.engine.checkpoint import BUILT_IN
from handler.engine.control.attention import cross_attentions
from handler.engine.control.image_encoder import BUILT_IN as CONFIGS
from handler.engine.control.names import controlnet_names
from handler.engine.shelf import parameter_bytes


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    network = build("unet", read_config(BUILT_IN, "unet"))
    assert isinstance(network, UNet2DConditionModel)
    return network


def test_adapters_count_encoder_decoder_middle(unet: UNet2DConditionModel) -> None:
    places = cross_attentions(unet)
    assert [place.number for place in places] == list(range(1, 140, 2))
    widths = [place.module.to_q.out_features for place in places]
    assert widths == [640] * 4 + [1280] * 20 + [1280] * 30 + [640] * 6 + [1280] * 10


def test_control_loras_name_every_parameter_in_ldms_way(unet: UNet2DConditionModel) -> None:
    with torch.device("meta"):
        network = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
    names = controlnet_names(network.config, network.state_dict())
    assert names.keys() == network.state_dict().keys()
    assert len(set(names.values())) == len(names)
    assert {
        "input_blocks.8.1.transformer_blocks.9.attn2.to_k.weight", "input_blocks.3.0.op.bias", "label_emb.0.2.weight",
        "middle_block.1.transformer_blocks.9.ff.net.0.proj.weight", "middle_block_out.0.bias", "time_embed.0.weight",
        "zero_convs.0.0.weight", "zero_convs.8.0.bias", "input_hint_block.0.weight", "input_hint_block.14.bias",
    } <= set(names.values())  # fmt: skip
    assert not any(name.startswith(("output_blocks", "out.")) for name in names.values())


def test_the_image_encoder_is_vit_h() -> None:
    """632 million parameters: the rest of the catalogue's file of 1.97 GB is CLIP's other half."""
    with torch.device("meta"):
        network = CLIPVisionModel(CLIPVisionConfig(**read_config(CONFIGS, "clip_vision")))
    assert 1.25e9 < parameter_bytes(network.half()) < 1.28e9
