"""Control-LoRAs and image prompts of the demo bundle: a step trains them and nothing else, a resumed run equals an
uninterrupted one, and the worker's own loaders read from the files what the training meant."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from builder.demo import train_control, train_ip_adapter
from builder.demo.bundle import read
from builder.demo.captions import plain
from builder.demo.control_lora import CARRIED, ControlLora, steered
from builder.demo.face import draw_face, random_face
from builder.demo.hints import edges, greys
from builder.demo.image_prompts import ADAPTERS, ENCODER, Adapter, as_input, write_adapter, write_encoder
from builder.demo.networks import Networks
from builder.demo.noisy import conditions
from builder.demo.world import draw
from handler.engine.control.attention import cross_attentions
from handler.engine.control.controlnet import load_controlnet
from handler.engine.control.image_encoder import load_image_encoder
from handler.engine.control.ip_adapter import load_ip_adapter
from handler.pixels.canny import pyra_canny

Calls = tuple[torch.Tensor, torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def networks() -> Networks:
    own = read()
    for module in own.modules().values():
        module.requires_grad_(False)
    return own


@pytest.fixture(autouse=True)
def tiny_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_control, "SIZES", {(16, 16): (2, 1.0)})
    monkeypatch.setattr(train_ip_adapter, "SIZES", {(16, 16): (2, 1.0)})
    monkeypatch.setattr(train_ip_adapter, "LIKE_TEXT_BATCH", 4)


@pytest.fixture
def calls(networks: Networks) -> Iterator[Calls]:
    context, added = conditions(networks, random.Random(0), ["a red circle on a blue background"], (16, 16))
    noisy = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        yield noisy, torch.tensor([800]), context, added


def states(control: ControlLora) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in control.state_dict().items()}


def test_training_a_control_leaves_the_unet_and_resumes(networks: Networks, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in networks.unet.state_dict().items()}
    whole = states(train_control.train(networks, "canny", tmp_path / "whole", 2))
    train_control.train(networks, "canny", tmp_path / "parts", 2)
    resumed = states(train_control.train(networks, "canny", tmp_path / "parts", 2))
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    fresh = states(ControlLora(networks.unet))
    assert any(not torch.equal(value, fresh[name]) for name, value in whole.items())
    assert whole["zero_convs.0.0.weight"][CARRIED:].any()
    assert not whole["zero_convs.0.0.weight"][:CARRIED].any()
    assert all(torch.equal(value, before[name]) for name, value in networks.unet.state_dict().items())


def test_the_worker_reads_the_control_that_was_trained(networks: Networks, tmp_path: Path, calls: Calls) -> None:
    control = ControlLora(networks.unet)
    with torch.no_grad():
        for value in control.parameters():
            value.normal_(std=0.05)
        control.keep_carried()
    train_control.write(control, "canny", tmp_path)
    loaded = load_controlnet(tmp_path / train_control.KINDS["canny"].file, networks.unet)
    hint = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    noisy, timesteps, context, added = calls
    expected, middle = control(calls, hint)
    loaded.network.controlnet_cond_embedding = loaded.embed
    residuals, own_middle = loaded.network(
        noisy, timesteps, context, hint, added_cond_kwargs=added, return_dict=False
    )
    for one, other in zip([*expected, middle], [*residuals, own_middle], strict=True):
        assert (one - other).abs().max() < 5e-3 * max(1.0, float(one.abs().max()))
    without = networks.unet(noisy, timesteps, context, added_cond_kwargs=added).sample
    assert (steered(networks.unet, control, calls, hint) - without).abs().max() > 1e-3


def test_edges_are_those_of_the_worker() -> None:
    pixels = np.asarray(draw(plain("red", "star", "blue").scene, 256, 192))
    mine, its = edges(random.Random(0), pixels).astype(int), pyra_canny(pixels, 64, 128).astype(int)
    its = its[..., 0] if its.ndim == 3 else its
    assert np.abs(mine - its).mean() < 2


def test_greys_tell_the_shape_from_its_background() -> None:
    pixels = np.asarray(draw(plain("red", "circle", "blue").scene, 128, 128))
    grey = greys(random.Random(3), pixels).astype(int)
    assert grey.shape == (128, 128)
    assert abs(grey[60:68, 60:68].mean() - grey[:8, :8].mean()) > 40


def test_image_prompts_train_and_resume_and_leave_the_unet(networks: Networks, tmp_path: Path) -> None:
    before = {name: value.clone() for name, value in networks.unet.state_dict().items()}
    whole = train_ip_adapter.train(networks, tmp_path / "whole", 3, like_text=2)
    train_ip_adapter.train(networks, tmp_path / "parts", 3, like_text=2)
    resumed = train_ip_adapter.train(networks, tmp_path / "parts", 3, like_text=2).state_dict()
    assert all(torch.equal(value, resumed[name]) for name, value in whole.state_dict().items())
    faces = train_ip_adapter.train_faces(networks, whole, tmp_path / "whole", 1)
    for name, value in faces.encoder.state_dict().items():
        assert torch.equal(value, whole.encoder.state_dict()[name])
    assert any(
        not torch.equal(value, whole.adapter.state_dict()[name]) for name, value in faces.adapter.state_dict().items()
    )
    assert networks.unet.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in networks.unet.state_dict().items())


def test_the_worker_reads_the_image_prompts_that_were_trained(networks: Networks, tmp_path: Path) -> None:
    prompts = train_ip_adapter.ImagePrompts(networks)
    write_encoder(prompts.encoder, tmp_path)
    write_adapter(prompts.adapter, "plus", tmp_path)
    unet = networks.unet
    encoder = load_image_encoder(tmp_path / ENCODER, tmp_path / "configs", unet.device, unet.dtype)
    adapter = load_ip_adapter(tmp_path / ADAPTERS["plus"], unet)
    picture = draw(plain("green", "cross", "white").scene, 96, 96)
    with torch.no_grad():
        features = encoder.encode([np.asarray(picture)])
        own = prompts.encoder(pixel_values=as_input([picture])).last_hidden_state
        assert (features - own).abs().max() < 2e-2 * own.abs().max()
        tokens, mine = adapter.resampler(own), prompts.adapter(own)
        assert (tokens - mine).abs().max() < 2e-2 * mine.abs().max()
    for keys, place in zip(adapter.keys, cross_attentions(unet), strict=True):
        trained = prompts.adapter.places[str(place.number)].to_k_ip[0].weight
        assert (keys - trained).abs().max() < 0.07 * trained.abs().max()


def test_an_adapter_is_taken_off_again(networks: Networks) -> None:
    adapter, unet = Adapter(networks.unet), networks.unet
    before = unet.attn_processors
    with adapter.shown_to(unet, 0.7):
        assert unet.attn_processors != before
    assert all(unet.attn_processors[name] is processor for name, processor in before.items())


def test_faces_have_three_colours_that_can_be_told_apart() -> None:
    face = random_face(random.Random(5))
    drawn: Image.Image = draw_face(face, 96)
    assert len({face.skin, face.ground, face.features}) == 3
    assert len(drawn.getcolors(96 * 96)) >= 3
