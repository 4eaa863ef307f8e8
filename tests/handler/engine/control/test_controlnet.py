"""ControlNets of every published form say the same; Control-LoRAs follow the UNet; other files are refused by name."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from handler.engine.control.controlnet import ControlNet, is_control_lora, load_controlnet
from handler.engine.control.residuals import Steering, embedded_hint, strengths, summed_residuals
from handler.engine.sampling.network import NetworkInput, Residuals
from handler.engine.weights import WeightsError
from tests.support.controls import FORMS, random_controlnet, write_diffusers_folder
from tests.support.golden import GOLDEN
from tests.support.networks import build_tiny_unet, tiny_unet

CONTROL_LORA = GOLDEN / "controlnet" / "control_lora_a.safetensors"
PICTURE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)


def inputs(seed: int = 0) -> NetworkInput:
    draw = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    ids = torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]] * 2)
    return NetworkInput(
        random(2, 4, 8, 8), torch.tensor([500.0, 500.0]), random(2, 77, 32), random(2, 1280), ids, 2.0, (0, 1)
    )


def said(control: ControlNet, weight: float = 1.0, softness: float = 0.0) -> Residuals:
    steering = Steering(control, embedded_hint(control, PICTURE, 8, 8), strengths(weight, softness, 10), 0.0)
    return summed_residuals([steering], inputs())


def flat(residuals: Residuals) -> Tensor:
    return torch.cat([residual.flatten() for residual in (*residuals.down, residuals.middle)])


@pytest.fixture(scope="module")
def network() -> ControlNetModel:
    return random_controlnet(tiny_unet())


@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_what_diffusers_says(form: str, network: ControlNetModel, tmp_path: Path) -> None:
    FORMS[form](tmp_path / form, network)
    call, hint = inputs(), torch.from_numpy(PICTURE).permute(2, 0, 1)[None] / 255
    told = {"text_embeds": call.pooled, "time_ids": call.time_ids}
    down, middle = network(call.sample, call.timesteps, call.context, hint, added_cond_kwargs=told, return_dict=False)
    torch.testing.assert_close(flat(said(load_controlnet(tmp_path / form, tiny_unet()))), flat(Residuals(down, middle)))


def test_a_control_lora_takes_the_weights_the_unet_has_now() -> None:
    unet = build_tiny_unet()
    before = flat(said(load_controlnet(CONTROL_LORA, unet)))
    torch.testing.assert_close(flat(said(load_controlnet(CONTROL_LORA, unet))), before, rtol=0, atol=0)
    unet.conv_in.weight.data = unet.conv_in.weight.data * 1.5
    assert not torch.allclose(flat(said(load_controlnet(CONTROL_LORA, unet))), before, rtol=0.01)


def test_a_control_lora_leaves_the_unet_alone_and_shares_what_it_can() -> None:
    unet = build_tiny_unet()
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    control = load_controlnet(CONTROL_LORA, unet)
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    shared = control.network.add_embedding.linear_1.weight
    assert shared.data_ptr() == unet.add_embedding.linear_1.weight.data_ptr()
    own = sum(value.numel() * 4 for value in control.network.parameters())
    assert 0 < control.bytes < own + sum(value.numel() * 4 for value in control.embed.parameters())


def test_only_control_loras_depend_on_the_unet(network: ControlNetModel, tmp_path: Path) -> None:
    assert is_control_lora(CONTROL_LORA)
    for form, write in FORMS.items():
        write(tmp_path / form, network)
        assert not is_control_lora(tmp_path / form)


def test_weight_and_softness_scale_the_residuals() -> None:
    control = load_controlnet(CONTROL_LORA, tiny_unet())
    full, soft = said(control), said(control, weight=0.5, softness=0.25)
    for index, (mine, whole) in enumerate(zip((*soft.down, soft.middle), (*full.down, full.middle), strict=True)):
        torch.testing.assert_close(mine, whole * 0.5 * (0.75 + 0.25 * index / 9))


def test_several_are_summed(network: ControlNetModel, tmp_path: Path) -> None:
    write_diffusers_folder(tmp_path / "other", network)
    controls = [load_controlnet(CONTROL_LORA, tiny_unet()), load_controlnet(tmp_path / "other", tiny_unet())]
    each = [Steering(own, embedded_hint(own, PICTURE, 8, 8), strengths(1.0, 0.0, 10), 0.0) for own in controls]
    torch.testing.assert_close(flat(summed_residuals(each, inputs())), sum(flat(said(own)) for own in controls))


def without(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key != name}


def narrowed(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return state | {name: state[name].float().reshape(-1, 2)[:, :1].contiguous()}


DAMAGE = {
    "a hint tensor is missing": partial(without, "input_hint_block.0.weight"),
    "a residual's convolution is missing": partial(without, "zero_convs.3.0.weight"),
    "up has another rank": partial(narrowed, "input_blocks.1.0.in_layers.2.up"),
    "a bias has another width": partial(narrowed, "middle_block.0.out_layers.3.bias"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_control_loras_are_refused(damage: str, tmp_path: Path) -> None:
    save_file(DAMAGE[damage](load_file(CONTROL_LORA)), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"x\.safetensors is .*Control-LoRA"):
        load_controlnet(tmp_path / "x.safetensors", tiny_unet())


def test_controlnets_for_another_network_are_refused(network: ControlNetModel, tmp_path: Path) -> None:
    narrow = UNet2DConditionModel.from_config({**tiny_unet().config, "cross_attention_dim": 48})
    for form in ("folder", "diffusers.safetensors", "ldm.safetensors"):
        FORMS[form](tmp_path / form, random_controlnet(narrow))
        with pytest.raises(WeightsError, match=form):
            load_controlnet(tmp_path / form, tiny_unet())


def test_other_files_are_refused(network: ControlNetModel, tmp_path: Path) -> None:
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"\xff" * 999)
    (tmp_path / "empty").mkdir()
    union = tmp_path / "union"
    write_diffusers_folder(union, network)
    config = json.loads((union / "config.json").read_text())
    (union / "config.json").write_text(json.dumps(config | {"_class_name": "ControlNetUnionModel"}))
    for name in ("lora.safetensors", "noise.safetensors", "empty", "union"):
        with pytest.raises(WeightsError, match=name):
            load_controlnet(tmp_path / name, tiny_unet())
