"""`advanced.base_model`: another installed checkpoint for a job; one in memory, wrong ones named, then as before."""

from __future__ import annotations

import asyncio
import gc
import io
import shutil
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from PIL import Image

from handler.engine.engine import Engine
from handler.engine.engines import Engines
from handler.installed import checkpoint_library
from handler.job import Worker
from handler.models_folders import ModelsFolders
from handler.plan.build import PlanSources
from handler.settings import Settings
from handler.start import DEMO_BUNDLE, DEMO_CHECKPOINT, start_worker
from handler.storage.settings import StorageSettings
from schemas.request import TextToImageRequest

SMALL = {
    "prompt": "a red circle on a blue background", "aspect_ratio": "128x128", "styles": [], "seed": 7, "loras": [],
    "performance": "Speed", "output_format": "png",
}  # fmt: skip


class Counted:
    """Loads engines, and what it was asked to load."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        self.roots = roots
        self.loaded: list[str] = []

    def __call__(self, path: Path) -> Engine:
        self.loaded.append(path.name)
        return Engine.load(path, self.roots, "cpu", check_safety=False)


@pytest.fixture
def load(tmp_path: Path) -> Counted:
    """Beside the demo checkpoint there are two of the same weights, one in RunPod's cache, and one that is none."""
    checkpoints = tmp_path / "models" / "checkpoints"
    shutil.copytree(DEMO_CHECKPOINT, checkpoints / "other")
    shutil.copytree(DEMO_CHECKPOINT, checkpoints / "broken")
    next((checkpoints / "broken" / "unet").glob("*.safetensors")).write_bytes(b"no weights")
    snapshots = tmp_path / "volume" / "huggingface-cache" / "hub" / "models--Some-Org--XL" / "snapshots"
    shutil.copytree(DEMO_CHECKPOINT, snapshots / "0123abc")
    (snapshots / "secret.safetensors").write_bytes(b"not for jobs")
    return Counted((DEMO_BUNDLE, tmp_path / "models"))


@pytest.fixture
def worker(make_worker: Callable[..., Worker], load: Counted, plan_sources: PlanSources) -> Worker:
    folders = ModelsFolders(load.roots[1], load.roots[1].parent / "volume")
    sources = replace(plan_sources, find_checkpoint=checkpoint_library(load.roots, folders.cached).find)
    return make_worker(render=Engines(load).render, sources=lambda: sources)


def run(worker: Worker, base_model: str | None = None, **more: Any) -> dict[str, Any]:
    advanced = {"overwrite_step": 2, **({"base_model": base_model} if base_model else {}), **more}
    return asyncio.run(worker.handle({"id": "job", "input": {**SMALL, "advanced": advanced}}))


def picture(answer: dict[str, Any]) -> Image.Image:
    assert "images" in answer, answer
    with urlopen(answer["images"][0]["url"]) as file:
        return Image.open(io.BytesIO(file.read()))


def test_a_job_may_name_another_checkpoint(worker: Worker, load: Counted) -> None:
    usual, other = picture(run(worker)), picture(run(worker, "other", save_metadata=True))
    assert other.tobytes() == usual.tobytes()
    assert '"base_model": "other"' in other.info["parameters"]
    assert picture(run(worker)).tobytes() == usual.tobytes()
    assert load.loaded == [DEMO_CHECKPOINT.name, "other", DEMO_CHECKPOINT.name]


def test_a_job_may_name_a_cached_model(worker: Worker, load: Counted) -> None:
    usual, cached = picture(run(worker)), picture(run(worker, "hf:some-org/xl", save_metadata=True))
    assert cached.tobytes() == usual.tobytes()
    assert '"base_model": "XL"' in cached.info["parameters"]
    assert load.loaded == [DEMO_CHECKPOINT.name, "0123abc"]


def test_naming_the_usual_checkpoint_changes_nothing(worker: Worker, load: Counted) -> None:
    assert picture(run(worker)).tobytes() == picture(run(worker, DEMO_CHECKPOINT.name)).tobytes()
    assert load.loaded == [DEMO_CHECKPOINT.name]


@pytest.mark.parametrize(
    "name",
    [
        "missing.safetensors", "hf:some-org/absent", "hf:some-org", "hf:some-org/xl/absent", "hf:", "../volume", ".",
        "hf:some-org/xl/../secret.safetensors", "../secret.safetensors", "hf:some-org/xl/" + "x" * 200,
    ],
)  # fmt: skip
def test_one_that_is_not_installed_is_named_and_nothing_is_loaded(worker: Worker, load: Counted, name: str) -> None:
    answer = run(worker, name)
    assert (answer["status"], answer["detail"][0]["loc"]) == (422, ["body", "advanced", "base_model"])
    assert load.loaded == []


def test_one_that_is_broken_costs_its_job_only(worker: Worker, load: Counted) -> None:
    usual = picture(run(worker))
    answer = run(worker, "broken")
    assert (answer["status"], answer["detail"][0]["loc"]) == (422, ["body", "advanced", "base_model"])
    assert str(load.roots[1]) not in str(answer)
    assert picture(run(worker)).tobytes() == usual.tobytes()


def test_a_worker_as_it_is_started_keeps_one_checkpoint_in_memory(load: Counted) -> None:
    settings = Settings(models_dir=load.roots[1], device="cpu", warm_up=False, safety_policy="off")
    worker = start_worker(settings, StorageSettings())
    engines = worker.runners[TextToImageRequest].__self__.render.__self__
    first = weakref.ref(engines.get(DEMO_CHECKPOINT))
    job = {**SMALL, "sync_mode": True, "advanced": {"overwrite_step": 1, "base_model": "other"}}
    assert "images" in asyncio.run(worker.handle({"id": "job", "input": job}))
    gc.collect()
    assert first() is None
