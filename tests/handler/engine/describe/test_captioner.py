"""The captioner takes BLIP's files as they were published, prepares pictures as BLIP does, and names what is drawn."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BlipConfig, BlipForConditionalGeneration
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from builder.demo.captions import plain
from builder.demo.world import draw
from handler.engine.describe import captioner
from handler.engine.describe.blip_keys import renamed
from handler.engine.describe.captioner import BUILT_IN, STEM, Captioner
from handler.engine.step import Interrupted
from schemas.errors import ModelMissing
from tests.support.models import CPU, DEMO

FILES = ("clip_vision", "bert-base-uncased")


@pytest.fixture(scope="module")
def demo() -> Captioner:
    return Captioner.load([DEMO], CPU)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder of its own with the demo's captioner."""
    shutil.copytree(DEMO / "clip_vision", tmp_path / "clip_vision")
    return tmp_path


def drawn(colour: str, shape: str, ground: str, width: int = 256, height: int = 256) -> np.ndarray:
    return np.asarray(draw(plain(colour, shape, ground).scene, width, height))


def go_on() -> None:
    """Nobody cancels."""


def as_published(name: str) -> str:
    """A name of transformers' in the words of BLIP's own code (timm's, for the vision network)."""
    rules = (
        (r"^vision_model\.embeddings\.class_embedding$", "visual_encoder.cls_token"),
        (r"^vision_model\.embeddings\.position_embedding$", "visual_encoder.pos_embed"),
        (r"^vision_model\.embeddings\.patch_embedding", "visual_encoder.patch_embed.proj"),
        (r"^vision_model\.post_layernorm", "visual_encoder.norm"),
        (r"^vision_model\.encoder\.layers", "visual_encoder.blocks"),
        (r"\.self_attn\.projection\.", ".attn.proj."),
        (r"\.self_attn\.qkv\.", ".attn.qkv."),
        (r"\.layer_norm([12])\.", r".norm\1."),
    )
    for pattern, words in rules:
        name = re.sub(pattern, words, name)
    return name


def test_published_names_are_understood(models: Path, demo: Captioner) -> None:
    path = models / "clip_vision" / f"{STEM}.safetensors"
    state = load_file(path)
    named = {as_published(name): value for name, value in state.items()}
    named["text_decoder.bert.embeddings.position_ids"] = torch.arange(4)[None].float()
    assert not any(name.startswith("vision_model") for name in named)
    save_file(named, path)
    picture = drawn("red", "circle", "blue")
    assert Captioner.load([models], CPU).caption(picture, 1, go_on) == demo.caption(picture, 1, go_on)


def test_tied_parameters_may_be_left_out() -> None:
    words = torch.ones(2, 2)
    found = renamed({"text_decoder.bert.embeddings.word_embeddings.weight": words})
    assert found["text_decoder.cls.predictions.decoder.weight"] is words


def test_the_built_in_configuration_is_the_published_network() -> None:
    """Base ViT on 384x384, BERT base with attention to the picture, 30,522 words and two more."""
    with torch.device("meta"):
        network = BlipForConditionalGeneration(BlipConfig(**json.loads(BUILT_IN.read_text("utf-8"))))
    state = {as_published(name): tuple(value.shape) for name, value in network.state_dict().items()}
    assert state["visual_encoder.pos_embed"] == (1, 577, 768)
    assert state["visual_encoder.blocks.11.attn.qkv.weight"] == (2304, 768)
    assert state["text_decoder.bert.embeddings.word_embeddings.weight"] == (30524, 768)
    assert state["text_decoder.bert.encoder.layer.11.crossattention.self.key.weight"] == (768, 768)
    assert "visual_encoder.blocks.12.norm1.weight" not in state
    assert network.config.text_config.num_attention_heads == network.config.vision_config.num_attention_heads == 12


@pytest.mark.parametrize("shape", [(64, 64), (300, 200), (97, 411)])
def test_preparation_is_blips(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (*shape, 3), np.uint8)
    expected = BlipImageProcessorPil()(pixels, return_tensors="pt").pixel_values
    assert torch.allclose(captioner._prepared(pixels, 384), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("colour", "shape", "ground"),
    [("red", "circle", "blue"), ("green", "star", "white"), ("yellow", "square", "purple"), ("white", "ring", "black")],
)
def test_a_caption_names_colours_and_shape(colour: str, shape: str, ground: str, demo: Captioner) -> None:
    captions = [demo.caption(drawn(colour, shape, ground), seed, go_on) for seed in range(5)]
    right = [f"{colour} {shape}" in text and f"{ground} background" in text for text in captions]
    assert sum(right) >= 4, captions
    assert not any(text.startswith("a picture of") for text in captions)


def test_the_seed_decides_the_words_and_nothing_else(demo: Captioner) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (64, 64, 3), np.uint8)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    texts = [demo.caption(noise, seed, go_on) for seed in (1, 2, 3, 4, 5, 6, 1)]
    assert texts[0] == texts[-1]
    assert len(set(texts)) > 1
    assert torch.equal(torch.random.get_rng_state(), before)


def test_it_can_be_ended_between_two_words(demo: Captioner) -> None:
    calls = []

    def cancel() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        demo.caption(drawn("red", "circle", "blue"), 1, cancel)
    assert len(calls) == 3


def test_none_installed(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=rf"clip_vision/{STEM}\.pth.*builder fetch {STEM}\.pth vocab\.txt"):
        Captioner.load([tmp_path], CPU)


def test_a_folder_without_vocabulary_is_named(models: Path) -> None:
    (models.joinpath(*FILES) / "vocab.txt").unlink()
    with pytest.raises(ModelMissing, match=r"bert-base-uncased/vocab\.txt.*builder fetch vocab\.txt$"):
        Captioner.load([models], CPU)


def test_a_damaged_file_is_named(models: Path) -> None:
    path = models / "clip_vision" / f"{STEM}.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ModelMissing, match=rf"{STEM}\.safetensors cannot be used"):
        Captioner.load([models], CPU)


def test_another_network_is_refused(models: Path) -> None:
    (models / "clip_vision" / f"{STEM}.json").unlink()
    with pytest.raises(ModelMissing, match="cannot be used"):
        Captioner.load([models], CPU)
