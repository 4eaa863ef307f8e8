"""Image prompts act as diffusers' IP-Adapter does, row by row, for as long as they are shown, and leave no trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel

from handler.engine.control.attention import PromptedNetwork, Rows, ShownPicture, cross_attentions, shown_to
from handler.engine.control.image_encoder import ImageEncoder, load_image_encoder, prepared
from handler.engine.control.ip_adapter import IpAdapter, load_ip_adapter, shown_picture
from handler.engine.sampling.network import NetworkInput, UnetNetwork
from handler.engine.weights import WeightsError
from tests.handler.engine.control.test_controlnet import inputs
from tests.support.controls import VISION, adapter_state, write_image_prompts
from tests.support.networks import build_tiny_unet, tiny_unet

CPU = torch.device("cpu")
PICTURES = np.random.default_rng(1).integers(0, 256, (2, 40, 70, 3), np.uint8)
ADAPTER = "controlnet/ip-adapter-plus_sdxl_vit-h.safetensors"
ENCODER = "clip_vision/clip_vision_vit_h.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prompts")
    write_image_prompts(folder, tiny_unet())
    return folder


@pytest.fixture(scope="module")
def adapter(models: Path) -> IpAdapter:
    return load_ip_adapter(models / ADAPTER, tiny_unet())


@pytest.fixture(scope="module")
def encoder(models: Path) -> ImageEncoder:
    return load_image_encoder(models / ENCODER, models / "configs", CPU, torch.float32)


@pytest.fixture(scope="module")
def features(encoder: ImageEncoder) -> Tensor:
    return encoder.encode(list(PICTURES))


def shown(adapter: IpAdapter, features: Tensor, weight: float = 0.8, until: float = 0.0) -> ShownPicture:
    """One picture for the positive rows, another for the negative ones."""
    return shown_picture(adapter, adapter.resampler(features), tiny_unet(), weight, until)


def output(pictures: list[ShownPicture], call: NetworkInput) -> Tensor:
    rows = Rows(CPU)
    with shown_to(tiny_unet(), pictures, rows):
        return PromptedNetwork(UnetNetwork(tiny_unet()), pictures, rows)(call)


def picked(call: NetworkInput, rows: list[int]) -> NetworkInput:
    """The same call with some of its rows."""
    taken = (each[rows] for each in (call.sample, call.timesteps, call.context, call.pooled, call.time_ids))
    return NetworkInput(*taken, call.sigma, tuple(call.sides[row] for row in rows))


def diffusers_output(models: Path, features: Tensor, weight: float, call: NetworkInput) -> Tensor:
    """diffusers' own IP-Adapter on the same file, with the strength of each block that Fooocus has."""
    unet = build_tiny_unet()
    groups: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in load_file(models / ADAPTER).items():
        group, _, rest = name.partition(".")
        groups[group][rest] = value
    unet._load_ip_adapter_weights([groups], low_cpu_mem_usage=False)
    widest = max(place.module.to_q.out_features for place in cross_attentions(tiny_unet()))
    for name, processor in unet.attn_processors.items():
        if hasattr(processor, "to_k_ip"):
            width = unet.get_submodule(name.removesuffix(".processor")).to_q.out_features
            processor.scale = [weight * width / widest]
    told = {"text_embeds": call.pooled, "time_ids": call.time_ids, "image_embeds": [features[:, None]]}
    return unet(call.sample, call.timesteps, call.context, added_cond_kwargs=told, return_dict=False)[0]


@torch.no_grad()
def test_one_picture_acts_as_in_diffusers(models: Path, adapter: IpAdapter, features: Tensor) -> None:
    call = inputs()
    ours = output([shown(adapter, features)], call)
    theirs = diffusers_output(models, features, 0.8, call)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert (ours - UnetNetwork(tiny_unet())(call)).abs().max() > 0.01


@torch.no_grad()
def test_rows_are_shown_their_sides_in_whatever_call_they_are(adapter: IpAdapter, features: Tensor) -> None:
    call, pictures = inputs(), [shown(adapter, features)]
    both = output(pictures, call)
    for rows in ([0], [1], [1, 0], [0, 1, 1]):
        torch.testing.assert_close(output(pictures, picked(call, rows)), both[rows], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_picture_is_shown_above_its_noise_level_only(adapter: IpAdapter, features: Tensor) -> None:
    call = inputs()
    without = UnetNetwork(tiny_unet())(call)
    assert torch.equal(output([shown(adapter, features, until=call.sigma)], call), without)
    first, second = shown(adapter, features, 0.5, until=1.0), shown(adapter, features.flip(0), 1.0, until=3.0)
    assert torch.equal(output([first, second], call), output([first], call))
    assert not torch.allclose(output([first, shown(adapter, features.flip(0))], call), output([first], call))


@torch.no_grad()
def test_afterwards_the_unet_is_as_before(adapter: IpAdapter, features: Tensor) -> None:
    unet, call = tiny_unet(), inputs()
    before, processors = UnetNetwork(unet)(call), dict(unet.attn_processors)
    with pytest.raises(KeyError), shown_to(unet, [shown(adapter, features)], Rows(CPU)):
        raise KeyError
    assert dict(unet.attn_processors) == processors
    assert torch.equal(UnetNetwork(unet)(call), before)


@torch.no_grad()
def test_features_are_those_before_the_last_layer(models: Path, encoder: ImageEncoder) -> None:
    whole = CLIPVisionModel(CLIPVisionConfig(**VISION)).eval()
    state = load_file(models / ENCODER)
    whole.load_state_dict({name: state[f"vision_model.{name}"] for name in whole.state_dict()})
    pixels = torch.stack([prepared(picture, VISION["image_size"]) for picture in PICTURES])
    states = whole(pixels, output_hidden_states=True).hidden_states
    torch.testing.assert_close(encoder.encode(list(PICTURES)), states[-2])
    nothing = whole(torch.zeros_like(pixels[:1]), output_hidden_states=True).hidden_states[-2]
    torch.testing.assert_close(encoder.encode_nothing(), nothing)


def test_adapters_for_other_networks_are_refused(models: Path, tmp_path: Path) -> None:
    good = load_file(models / ADAPTER)
    narrow = UNet2DConditionModel.from_config({**tiny_unet().config, "cross_attention_dim": 48})
    more = good | {"ip_adapter.9999.to_k_ip.weight": torch.zeros(1)}
    bad = {
        "narrow": adapter_state(narrow),
        "shorter": {name: value for name, value in good.items() if not name.startswith("ip_adapter.3.")},
        "no resampler": {name: value for name, value in good.items() if not name.startswith("image_proj.")},
        "damaged": good | {"image_proj.layers.0.0.to_kv.weight": torch.zeros(3, 3)},
        "not plus": more | {"image_proj.proj.weight": torch.zeros(3, 3)},
    }
    for name, state in bad.items():
        save_file(state, tmp_path / f"{name}.safetensors")
        with pytest.raises(WeightsError, match=r"IP-Adapter|adapter"):
            load_ip_adapter(tmp_path / f"{name}.safetensors", tiny_unet())


def test_a_pickle_must_be_the_catalogues(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "controlnet"
    folder.mkdir()
    torch.save(load_file(models / ADAPTER), folder / "ip-adapter-plus_sdxl_vit-h.bin")
    with pytest.raises(WeightsError, match="not the file of the catalogue"):
        load_ip_adapter(folder / "ip-adapter-plus_sdxl_vit-h.bin", tiny_unet())


def test_other_encoders_are_refused(models: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="another image encoder"):
        load_image_encoder(models / ENCODER, None, CPU, torch.float32)
    save_file({"text_model.x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match="not the image encoder"):
        load_image_encoder(tmp_path / "x.safetensors", None, CPU, torch.float32)
