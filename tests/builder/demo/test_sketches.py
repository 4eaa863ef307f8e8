"""Sketches: each upward block but the last is read, and their error reaches the blocks' weights."""

from __future__ import annotations

import random

import pytest
import torch

from builder.demo import captions, dataset
from builder.demo.networks import create_unet
from builder.demo.sketches import Sketches


def test_sketches_teach_the_inner_blocks() -> None:
    torch.manual_seed(0)
    unet = create_unet()
    sketches = Sketches(unet)
    example = captions.plain("red", "star", "blue")
    latents = dataset.scene_latents(example.scene, 32, 32)[None]
    silhouettes = dataset.scene_silhouette(example.scene, 32, 32)[None]
    conditions = {"text_embeds": torch.ones(1, 64), "time_ids": torch.full((1, 6), 256.0)}
    unet(torch.randn_like(latents), 900, torch.ones(1, 77, 96), added_cond_kwargs=conditions)
    sketches.loss(latents, silhouettes, torch.ones_like(silhouettes)).backward()
    assert len(sketches.readers) == len(unet.up_blocks) - 1
    taught = [name for name, value in unet.named_parameters() if value.grad is not None and value.grad.any()]
    assert any(name.startswith("up_blocks.3.resnets.2") for name in taught)
    assert any(name.startswith("mid_block") for name in taught)
    assert not any(name.startswith("up_blocks.4") for name in taught)


def test_a_silhouette_covers_what_the_shapes_cover() -> None:
    rng = random.Random(2)
    example = captions.sample(rng, pair_share=1.0)
    silhouette = dataset.scene_silhouette(example.scene, 48, 32)
    assert silhouette.shape == (1, 32, 48)
    places = [
        silhouette[0, int(shape.y * 32), int(shape.x * 48)] for shape in example.scene.shapes if shape.kind != "ring"
    ]
    assert all(float(place) == pytest.approx(1.0) for place in places)
    assert float(silhouette[0, 0, 0]) == 0.0
