"""Training: batches have SDXL's shape, a step changes the networks, and a resumed run equals an uninterrupted one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from builder.demo import bundle, captions, dataset, loras, stages, train_loras, train_text, train_vae
from builder.demo.carry import protect
from builder.demo.checkpoints import rate_factor
from builder.demo.networks import Networks, alphas_cumprod, create
from builder.demo.sampling import karras_sigmas, noise_levels, size_ids, timestep
from builder.demo.texts import encode, encode_joined
from builder.demo.world import draw


@pytest.fixture(scope="module")
def networks() -> Networks:
    return create(0)


@pytest.fixture(autouse=True)
def tiny_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "CURRICULUM", ((0.0, (1.0, 0.0, 0.0)),))
    monkeypatch.setattr(dataset, "SMALL", {(16, 16): 2})
    monkeypatch.setattr(train_loras, "SIZES", {(16, 16): 2})
    monkeypatch.setattr(train_loras, "STYLE_SIZES", {(16, 16): 2})
    monkeypatch.setattr(train_vae, "SIZES", ((32, 32),))
    monkeypatch.setattr(train_text, "BATCH", 6)


def test_pinned_latents_are_the_reduced_picture() -> None:
    rng = random.Random(3)
    batch = train_vae.pictures(rng, 2, 64, 32)
    latents = train_vae.pinned_latents(batch)
    assert latents.shape == (2, 4, 4, 8)
    assert torch.allclose(latents[:, 3], latents[:, :3].mean(1), atol=1e-5)
    assert torch.allclose(latents[0, :, 0, 0][:3], batch[0, :, :8, :8].mean((1, 2)) * train_vae.GAIN, atol=1e-5)


def test_latents_drawn_small_equal_those_of_the_full_picture() -> None:
    example = captions.plain("red", "star", "blue")
    small = dataset.scene_latents(example.scene, 32, 24)
    pixels = torch.frombuffer(bytearray(draw(example.scene, 256, 192).tobytes()), dtype=torch.uint8)
    full = train_vae.pinned_latents(pixels.view(1, 192, 256, 3).permute(0, 3, 1, 2).float() / 127.5 - 1)[0]
    assert (small - full).abs().mean() < 0.02


def test_batches_carry_size_numbers_in_pixels() -> None:
    batch = dataset.batch_at(random.Random(1), 0.5)
    assert batch.latents.shape == (2, 4, 16, 16)
    assert batch.time_ids[:, 2:4].eq(0).all()
    assert batch.time_ids[:, 4:].eq(128).all()
    assert all(1 <= len(texts) <= 2 for texts in batch.texts)


def test_a_caption_can_be_told_by_the_context_alone(networks: Networks) -> None:
    example = captions.plain("red", "star", "blue")
    texts, count = dataset.only_in_context(random.Random(2), example)
    assert texts[1:] == [example.caption]
    encoders = (networks.text_1, networks.text_2)
    with torch.no_grad():
        context, pooled = encode_joined(*encoders, [texts], [count])
        _, without = encode(*encoders, texts[:1])
        alone, _ = encode(*encoders, texts[1:])
    assert torch.allclose(pooled, without, atol=1e-5)
    assert torch.allclose(context[:, 77:], alone, atol=1e-5)


@pytest.mark.parametrize(("part", "least", "most"), [(0.1, 0.0, 0.0), (0.5, 0.03, 0.12), (0.9, 0.5, 0.75)])
def test_the_later_in_the_training_the_more_pairs(part: float, least: float, most: float) -> None:
    rng = random.Random(4)
    pairs = sum(len(dataset.random_example(rng, part).scene.shapes) == 2 for _ in range(600))
    assert least <= pairs / 600 <= most


def test_several_texts_join_along_tokens_and_add_their_pooled_vectors(networks: Networks) -> None:
    encoders = (networks.text_1, networks.text_2)
    with torch.no_grad():
        context, pooled = encode(*encoders, ["a red circle", "sharp photo"])
        joined, summed = encode_joined(*encoders, [["a red circle", "sharp photo"], ["a red circle"]])
        _, first = encode_joined(*encoders, [["a red circle", "sharp photo"]], [1])
    assert joined.shape == (2, 154, 96)
    assert torch.allclose(joined[0], context.flatten(0, 1), atol=1e-5)
    assert torch.allclose(summed, torch.stack([pooled.sum(0), pooled[0]]), atol=1e-5)
    assert torch.allclose(first, pooled[:1], atol=1e-5)


@pytest.mark.parametrize("timestep", [999, 700, 300])
def test_a_fresh_unet_corrects_its_input_by_no_more_than_the_timestep_allows(
    networks: Networks, timestep: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = torch.randn(2, 4, 32, 32, generator=generator) + 0.3 * torch.randn(2, 4, 1, 1, generator=generator)
    conditions = {"text_embeds": torch.randn(2, 64, generator=generator), "time_ids": torch.full((2, 6), 256.0)}
    with torch.no_grad():
        predicted = networks.unet(noisy, timestep, torch.zeros(2, 77, 96), added_cond_kwargs=conditions).sample
    correction = (predicted - noisy) / alphas_cumprod()[timestep].sqrt()
    assert 0.005 < correction.std() < 0.5


def test_training_leaves_what_is_set_by_hand() -> None:
    unet = create(1).unet
    protect(unet)
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    noisy = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    conditions = {"text_embeds": torch.ones(1, 64), "time_ids": torch.full((1, 6), 128.0)}
    optimiser = torch.optim.AdamW([p for p in unet.parameters() if p.requires_grad], lr=0.1, weight_decay=0.0)
    unet(noisy, 500, torch.ones(1, 77, 96), added_cond_kwargs=conditions).sample.square().mean().backward()
    optimiser.step()
    after = unet.state_dict()
    last = "up_blocks.4.resnets.2"
    fixed = ["conv_out.weight", "conv_norm_out.weight", "time_embedding.linear_1.weight"]
    fixed += [f"{last}.{name}.weight" for name in ("conv_shortcut", "conv2", "norm2", "time_emb_proj")]
    assert all(torch.equal(before[name], after[name]) for name in fixed)
    assert torch.equal(before["conv_in.weight"][:4], after["conv_in.weight"][:4])
    assert not torch.equal(before["conv_in.weight"][4:], after["conv_in.weight"][4:])
    assert not torch.equal(before[f"{last}.conv1.weight"], after[f"{last}.conv1.weight"])


@pytest.mark.parametrize("name", ["sdxl_lcm_lora", "sdxl_lightning_4step_lora", "demo_outlined"])
def test_a_lora_trains_without_touching_the_networks(name: str, tmp_path: Path) -> None:
    networks = create(2)
    before = {key: value.clone() for key, value in networks.unet.state_dict().items()}
    whole = train_loras.train(networks, name, tmp_path, 2)
    ups = [key for key in whole if key.endswith("lora_up.weight")]
    assert len(ups) == len(loras.targets(networks.unet, loras.REACHES[name].blocks))
    assert any(whole[key].abs().max() > 0 for key in ups)
    assert all(torch.equal(value, before[key]) for key, value in networks.unet.state_dict().items())


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = stages.train(stages.Plan(text=1, vae=1, unet=2), tmp_path / "whole")
    stages.train(stages.Plan(text=1, vae=1, unet=2), tmp_path / "pieces", until=1)
    pieces = stages.train(stages.Plan(text=1, vae=1, unet=2), tmp_path / "pieces")
    for name, module in whole.modules().items():
        other = pieces.modules()[name].state_dict()
        assert all(torch.equal(value, other[key]) for key, value in module.state_dict().items()), name
    untrained = create(0).unet.state_dict()
    assert any(not torch.equal(value, untrained[key]) for key, value in whole.unet.state_dict().items())


def test_training_goes_on_from_a_bundle(tmp_path: Path) -> None:
    bundle.write(create(3), tmp_path / "bundle")
    earlier = bundle.read(tmp_path / "bundle")
    further = stages.train(stages.Plan(unet=1, start=tmp_path / "bundle", begin=0.7), tmp_path / "work")
    for kept in ("text_encoder", "text_encoder_2", "vae"):
        own, other = further.modules()[kept].state_dict(), earlier.modules()[kept].state_dict()
        assert all(torch.equal(value, other[key]) for key, value in own.items()), kept
    own, other = further.unet.state_dict(), earlier.unet.state_dict()
    assert any(not torch.equal(value, other[key]) for key, value in own.items())
    # One step of a training that has hardly begun.
    assert max(float((value - other[key]).abs().max()) for key, value in own.items()) < 0.01
    bundle.write(further, tmp_path / "written")
    assert not [file for file in (tmp_path / "written").rglob("*.json") if str(tmp_path) in file.read_text()]


def test_rate_rises_stays_and_falls_to_zero() -> None:
    factors = [rate_factor(step, 1000) for step in range(1001)]
    assert factors[0] == pytest.approx(0.02)
    assert factors[300] == 1
    assert factors[1000] == 0
    assert sorted(factors[650:], reverse=True) == factors[650:]


def test_noise_levels_are_those_of_sdxl() -> None:
    sigmas = karras_sigmas(30)
    assert sigmas[0] == pytest.approx(14.6146, abs=1e-3)
    assert sigmas[-2] == pytest.approx(0.0292, abs=1e-4)
    assert timestep(float(noise_levels()[500])) == pytest.approx(500)


def test_size_numbers_follow_the_emphasis() -> None:
    assert size_ids(896, 1152, True, True) == [1344, 1728, 0, 0, 896, 1152]
    assert size_ids(896, 1152, False, True) == [716, 921, 0, 0, 896, 1152]
    assert size_ids(900, 1152, False, False) == [896, 1152, 0, 0, 896, 1152]
