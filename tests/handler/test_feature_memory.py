"""What only some jobs need shares one budget, and makes room for whatever runs out of memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from handler.description import Description
from handler.engine import device as devices
from handler.engine.describe.describer import CAPTIONER, TAGGER, Describer
from handler.engine.engine import Engine
from handler.engine.features import HEADROOM, Features
from handler.engine.shelf import BUDGET, Shelf
from handler.engine.upscaler import Upscaler
from handler.gpu import GpuThread
from handler.job import Worker
from handler.media.policy import FetchPolicy
from handler.plan.build import PlanSources
from handler.settings import Preload, Settings
from handler.start import DEMO_BUNDLE, DEMO_CHECKPOINT, start_worker
from handler.storage.settings import StorageSettings
from schemas.errors import ModelMissing
from schemas.request import DescribeRequest, TextToImageRequest
from tests.support.requests import mask_with, picture, uri

FAST = {"prompt": "a red circle", "styles": [], "loras": [], "performance": "Lightning", "seed": 5,
        "aspect_ratio": "128x128", "output_format": "png", "advanced": {"overwrite_step": 1}}  # fmt: skip
CHANNELS = 16
"""Of the demo model's first layer."""
REPAINT = {
    "endpoint": "inpaint",
    "inpaint_image_url": uri(picture(64, 64)),
    "mask_image_url": uri(mask_with(64, 64, slice(20, 40), slice(20, 40))),
}
ENLARGE = {"endpoint": "upscale-or-vary", "uov_image_url": uri(picture(32, 32)), "uov_method": "Upscale (Fast 2x)"}


def load(features: Features) -> Engine:
    return Engine.load(DEMO_CHECKPOINT, (DEMO_BUNDLE,), "cpu", False, features)


@pytest.fixture
def repainting(plan_sources: PlanSources, tmp_path: Path) -> PlanSources:
    """Finds a head and a patch of random weights for the demo model."""
    head, patch = tmp_path / "head.safetensors", tmp_path / "patch.safetensors"
    save_file({"head": torch.randn(CHANNELS, 5, 3, 3)}, head)
    save_file({"diffusion_model.input_blocks.0.0.bias": torch.randn(CHANNELS)}, patch)
    return replace(plan_sources, find_inpaint_network=lambda engine, loc: ((head, patch),))


def answer(worker: Worker, **body: Any) -> dict[str, Any]:
    result = asyncio.run(worker.handle({"id": "job-1", "input": FAST | body}))
    assert "error" not in result, result
    return result


def test_merged_weights_beyond_the_budget_go_with_a_job_that_does_not_need_them(
    make_worker: Callable[..., Worker], repainting: PlanSources
) -> None:
    shelf = Shelf()
    worker = make_worker(render=load(Features(1, shelf=shelf)).render, sources=lambda: repainting)
    answer(worker, **REPAINT)
    assert shelf.bytes == CHANNELS * 4
    answer(worker, **REPAINT)
    assert shelf.bytes == CHANNELS * 4
    answer(worker)
    assert shelf.bytes == 0


@pytest.mark.parametrize(("budget", "both"), [(2**30, True), (1, False)])
def test_rendering_and_describing_share_one_budget(
    make_worker: Callable[..., Worker], budget: int, both: bool
) -> None:
    shelf = Shelf()
    engine, describer = load(Features(budget, shelf=shelf)), Describer((DEMO_BUNDLE,), "cpu", shelf)
    describer.describe(picture(32, 32), ["Anime"], 1, lambda: None)
    assert TAGGER in shelf
    answer(make_worker(render=engine.render), **ENLARGE)
    assert Upscaler in shelf
    assert (TAGGER in shelf) == both


def test_describing_makes_rendering_let_go(make_worker: Callable[..., Worker]) -> None:
    engine = load(Features())
    describer = Describer((DEMO_BUNDLE,), "cpu", release=engine.release)
    answer(make_worker(render=engine.render))
    assert engine._loras.bytes > 0

    def full(module: torch.nn.Module, inputs: object) -> None:
        if engine._loras.bytes:
            raise torch.OutOfMemoryError

    with describer._captioner()._network.vision_model.register_forward_pre_hook(full):
        description = Description(GpuThread(), describer.describe, FetchPolicy())
        worker = Worker({DescribeRequest: description.run}, 10_000)
        assert answer(worker, endpoint="describe", image_url=REPAINT["inpaint_image_url"])["prompt"]
    assert engine._loras.bytes == 0


def test_rendering_makes_describing_let_go(make_worker: Callable[..., Worker]) -> None:
    shelf = Shelf()
    engine, describer = load(Features(shelf=shelf)), Describer((DEMO_BUNDLE,), "cpu", shelf)
    describer.load()

    def full(module: torch.nn.Module, inputs: object) -> None:
        if CAPTIONER in shelf:
            raise torch.OutOfMemoryError

    with engine._model.unet.register_forward_pre_hook(full):
        answer(make_worker(render=engine.render))
    assert shelf.bytes == 0


def started(models: Path, preload: str, **more: str) -> Shelf:
    """The shelf of a worker that has had no job."""
    settings = Settings(models_dir=models, device="cpu", warm_up=False, safety_policy="off", preload=preload, **more)
    worker = start_worker(settings, StorageSettings())
    engines = worker.runners[TextToImageRequest].__self__.render.__self__
    return engines.get(DEMO_CHECKPOINT)._shelf


def test_features_are_loaded_before_the_first_job(tmp_path: Path) -> None:
    assert not started(tmp_path, "").bytes
    shelf = started(tmp_path, ",".join(Preload))
    kinds = {key[0] if isinstance(key, tuple) else key for key in shelf._items}
    assert kinds == {"controlnet", "adapter", "encoder", Upscaler, CAPTIONER, TAGGER}
    assert len(shelf._items) == 8


def test_one_that_is_not_installed_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"mine\.safetensors"):
        started(tmp_path, "canny", controlnet_canny="mine.safetensors")


def test_the_budget_is_what_a_gpu_has_to_spare(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    for left, expected in ((HEADROOM + 5, 5), (HEADROOM - 5, 0)):
        monkeypatch.setattr(devices, "_free", lambda device, left=left: left)
        assert Features().budget(gpu) == expected
    assert Features().budget(cpu) == BUDGET
    assert Features(7).budget(gpu) == Features(7).budget(cpu) == 7


def test_an_engine_sets_the_budget_of_its_shelf() -> None:
    features = Features(12345)
    load(features)
    assert features.shelf.budget == 12345
