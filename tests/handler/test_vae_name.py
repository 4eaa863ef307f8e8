"""`advanced.vae_name`: another installed VAE for a job, in every form they come in; then all is as before."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from PIL import Image, ImageChops
from safetensors.torch import load_file, save_file

from handler.engine.engine import Engine
from handler.engine.engines import Engines
from handler.engine.ldm_keys import VAE_PREFIX, vae_places
from handler.installed import vae_library
from handler.job import Worker
from handler.plan.build import PlanSources
from handler.start import DEMO_BUNDLE, DEMO_CHECKPOINT

REQUEST = {
    "prompt": "a red circle on a blue background", "aspect_ratio": "128x128", "styles": [], "seed": 7, "loras": [],
    "performance": "Speed", "output_format": "png",
}  # fmt: skip
ONE = DEMO_CHECKPOINT / "vae"


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The demo's VAE with red and blue exchanged on the way out, in four forms, and files that are none."""
    models = tmp_path_factory.mktemp("models")
    folder = models / "vae"
    shutil.copytree(ONE, folder / "whole")
    (weights,) = (folder / "whole").glob("*.safetensors")
    state = load_file(weights)
    for name in ("decoder.conv_out.weight", "decoder.conv_out.bias"):
        state[name] = state[name].flip(0).contiguous()
    save_file(state, weights)
    save_file(state, folder / "diffusers.safetensors")
    places = vae_places({"block_out_channels": (8, 16, 32, 32), "layers_per_block": 1}, state)
    ldm = {places[name].name: tensor for name, tensor in state.items()}
    save_file(ldm, folder / "ldm.safetensors")
    save_file({name.removeprefix(VAE_PREFIX): tensor for name, tensor in ldm.items()}, folder / "bare.safetensors")
    (folder / "damaged.safetensors").write_bytes(b"no weights")
    shutil.copy(next((DEMO_CHECKPOINT / "text_encoder").glob("*.safetensors")), folder / "text_encoder.safetensors")
    save_file({name: state[name] for name in list(state)[:-1]}, folder / "incomplete.safetensors")
    return DEMO_BUNDLE, models


@pytest.fixture
def worker(make_worker: Callable[..., Worker], roots: tuple[Path, ...], plan_sources: PlanSources) -> Worker:
    sources = replace(plan_sources, find_vae=vae_library(roots).find)
    engines = Engines(partial(Engine.load, roots=roots, device_name="cpu", check_safety=False))
    return make_worker(render=engines.render, sources=lambda: sources)


def run(worker: Worker, vae: str | None = None, **more: Any) -> dict[str, Any]:
    advanced = {"overwrite_step": 2, **({"vae_name": vae} if vae else {}), **more}
    return asyncio.run(worker.handle({"id": "job", "input": {**REQUEST, "advanced": advanced}}))


def picture(answer: dict[str, Any]) -> Image.Image:
    assert "images" in answer, answer
    with urlopen(answer["images"][0]["url"]) as file:
        return Image.open(io.BytesIO(file.read()))


@pytest.mark.parametrize("name", ["whole", "diffusers.safetensors", "ldm.safetensors", "bare.safetensors"])
def test_it_decodes_the_picture_of_its_job_only(worker: Worker, name: str) -> None:
    usual, other = picture(run(worker)), picture(run(worker, name, save_metadata=True))
    red, green, blue = other.split()
    assert ImageChops.difference(Image.merge("RGB", (blue, green, red)), usual).getbbox() is None
    assert ImageChops.difference(other, usual).getbbox() is not None
    assert f'"vae": "{name.removesuffix(".safetensors")}"' in other.info["parameters"]
    assert picture(run(worker)).tobytes() == usual.tobytes()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing.safetensors", "No VAE of this name is installed"),
        ("damaged.safetensors", "damaged.safetensors"),
        ("text_encoder.safetensors", "has no tensor"),
        ("incomplete.safetensors", "has no tensor"),
        ("../../secret", "No VAE of this name"),
    ],
)
def test_one_that_cannot_be_used_costs_its_job_only(worker: Worker, roots: tuple, name: str, words: str) -> None:
    usual = picture(run(worker))
    answer = run(worker, name)
    assert (answer["status"], answer["detail"][0]["loc"]) == (422, ["body", "advanced", "vae_name"])
    assert words in answer["detail"][0]["msg"]
    assert str(roots[1]) not in str(answer)
    assert picture(run(worker)).tobytes() == usual.tobytes()


def test_one_of_the_catalogue_says_how_to_get_it(worker: Worker) -> None:
    answer = run(worker, "ponyDiffusionV6XL_vae.safetensors")
    assert "python -m builder fetch ponyDiffusionV6XL_vae.safetensors" in answer["detail"][0]["msg"]
