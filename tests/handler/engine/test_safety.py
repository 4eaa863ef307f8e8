"""The safety checker flags what diffusers' own flags, touches no picture, and fails closed."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import save_file
from transformers import CLIPConfig
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from handler.engine import safety
from handler.engine.safety import SafetyChecker
from schemas.errors import ModelMissing, SafetyCheckFailed
from tests.support.models import CPU, DEMO

VISION = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
    "image_size": 32, "patch_size": 8, "projection_dim": 16,
}  # fmt: skip


@pytest.fixture(scope="module")
def stock() -> StableDiffusionSafetyChecker:
    """diffusers' checker with random weights, its thresholds in the middle of what pictures score."""
    torch.manual_seed(7)
    network = StableDiffusionSafetyChecker(CLIPConfig(projection_dim=16, vision_config=VISION)).eval()
    network.concept_embeds.data.normal_()
    network.special_care_embeds.data.normal_()
    network.concept_embeds_weights.data.fill_(0.37)
    network.special_care_embeds_weights.data.fill_(0.3)
    return network


@pytest.fixture
def models(stock: StableDiffusionSafetyChecker, tmp_path: Path) -> Path:
    """A models folder with the checker under the names CompVis's file has."""
    folder = tmp_path / "models" / "safety_checker"
    folder.mkdir(parents=True)
    state = {key.replace("vision_model.", "vision_model.vision_model."): value.contiguous()
             for key, value in stock.state_dict().items()}  # fmt: skip
    state["vision_model.vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"projection_dim": 16, "vision_config": VISION}))
    return tmp_path / "models"


def pictures(count: int) -> list[np.ndarray]:
    """Random blocks of colour in several sizes."""
    random = np.random.default_rng(3)
    made = []
    for _ in range(count):
        blocks = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        height, width = random.integers(9, 40, 2)
        made.append(np.repeat(np.repeat(blocks, height, axis=0), width, axis=1))
    return made


def test_flags_are_those_of_diffusers(models: Path, stock: StableDiffusionSafetyChecker) -> None:
    images = pictures(40)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    inputs = processor(images, return_tensors="pt").pixel_values
    _, expected = stock(clip_input=inputs, images=[image.copy() for image in images])
    kept = [image.copy() for image in images]
    flags = SafetyChecker.load([models], CPU).check(images)
    assert flags == expected
    assert 0 < sum(flags) < 40
    assert all(np.array_equal(image, before) for image, before in zip(images, kept, strict=True))


@pytest.mark.parametrize("shape", [(90, 130), (131, 90), (224, 224), (1152, 896), (10, 3000)])
def test_preparation_is_clips(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = CLIPImageProcessorPil()(image).pixel_values[0]
    assert np.array_equal(safety._prepared(image, 224).numpy(), expected)


def test_the_demo_checker_flags_nothing() -> None:
    assert SafetyChecker.load([DEMO], CPU).check(pictures(3)) == [False] * 3


def test_no_pictures(models: Path) -> None:
    assert SafetyChecker.load([models], CPU).check([]) == []


def test_the_first_folder_that_has_one_is_used(models: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert SafetyChecker.load([tmp_path / "empty", models, DEMO], CPU).check(pictures(40)).count(True) > 0


def test_none_installed(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="python -m builder fetch --feature safety"):
        SafetyChecker.load([tmp_path], CPU)


@pytest.mark.parametrize("image", [np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 4), np.float64), "no picture"])
def test_what_cannot_be_checked_is_an_error(image: np.ndarray, models: Path) -> None:
    with pytest.raises(SafetyCheckFailed):
        SafetyChecker.load([models], CPU).check([image])


def test_a_checker_gone_wrong_lets_nothing_pass(models: Path, stock: StableDiffusionSafetyChecker) -> None:
    checker = SafetyChecker.load([models], CPU)
    checker._network.visual_projection.weight.fill_(torch.nan)
    with pytest.raises(SafetyCheckFailed):
        checker.check(pictures(1))


def test_a_damaged_file_is_an_error_at_start(models: Path) -> None:
    path = models / "safety_checker" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(SafetyCheckFailed):
        SafetyChecker.load([models], CPU)


def test_a_pickle_that_is_not_the_catalogues_is_not_opened(models: Path) -> None:
    folder = models / "safety_checker"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / safety.PICKLED).write_bytes(b"\x80\x04cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(SafetyCheckFailed):
        SafetyChecker.load([models], CPU)


def test_fooocus_own_file_is_the_same_network(
    models: Path, stock: StableDiffusionSafetyChecker, tmp_path: Path
) -> None:
    path = tmp_path / "checker.bin"
    names = {
        key.replace("vision_model.", "vision_model.vision_model."): value for key, value in stock.state_dict().items()
    }
    torch.save(names | {"vision_model.vision_model.embeddings.position_ids": torch.arange(17)[None]}, path)
    with torch.device("meta"):
        network = StableDiffusionSafetyChecker(CLIPConfig(projection_dim=16, vision_config=VISION)).eval()
    safety.load_pickled(network, path, hashlib.sha256(path.read_bytes()).hexdigest(), CPU)
    images = pictures(10)
    assert SafetyChecker(network).check(images) == SafetyChecker.load([models], CPU).check(images)
