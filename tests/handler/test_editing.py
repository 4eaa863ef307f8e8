"""Inpaint, outpaint, vary and upscale through the worker: what stays, what changes, sizes, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from handler.engine.checkpoint import SdxlModel
from handler.engine.engine import Engine
from handler.engine.step import Interrupted, Step
from handler.engine.upscaler import FOLDER, STEMS
from handler.gpu import GpuThread
from handler.job import Worker
from handler.pixels.resize import lanczos
from handler.plan.build import PlanSources
from handler.plan.plan import Plan
from handler.start import DEMO_BUNDLE, DEMO_CHECKPOINT
from tests.support.golden import GOLDEN
from tests.support.requests import mask_with, picture, uri

MakeWorker = Callable[..., Worker]

FAST = {"prompt": "a red circle", "styles": [], "loras": [], "performance": "Lightning", "seed": 5,
        "output_format": "png", "advanced": {"overwrite_step": 1}}  # fmt: skip
HOLE = (slice(40, 60), slice(60, 90))
FEATHER = 32


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The demo model, and an upscaler that does not look what it does: the recorded one, of random weights."""
    models = tmp_path_factory.mktemp("models")
    (models / FOLDER).mkdir()
    source = next(GOLDEN.glob("esrgan/*/model.safetensors"))
    (models / FOLDER / f"{STEMS[0]}.safetensors").symlink_to(source)
    return Engine.load(DEMO_CHECKPOINT, (models, DEMO_BUNDLE), "cpu", check_safety=False)


@pytest.fixture
def worker(make_worker: MakeWorker, editor: Engine) -> Worker:
    return make_worker(render=editor.render)


def answer(worker: Worker, **body: Any) -> dict[str, Any]:
    return asyncio.run(worker.handle({"id": "job-1", "input": FAST | body}))


def made(worker: Worker, **body: Any) -> np.ndarray:
    result = answer(worker, **body)
    assert "error" not in result, result
    (record,) = result["images"]
    pixels = np.asarray(Image.open(unquote(urlsplit(record["url"]).path)).convert("RGB"))
    assert pixels.shape[:2] == (record["height"], record["width"])
    return pixels


def test_inpainting_changes_the_mask_and_nothing_beyond_its_edge(worker: Worker) -> None:
    own = picture(160, 240)
    mask = mask_with(160, 240, *HOLE)
    result = made(worker, endpoint="inpaint", inpaint_image_url=uri(own), mask_image_url=uri(mask))
    assert result.shape == own.shape
    changed = (result != own).any(axis=2)
    assert changed[HOLE].mean() > 0.9
    rows, columns = (slice(place.start - FEATHER, place.stop + FEATHER) for place in HOLE)
    changed[max(rows.start, 0) : rows.stop, columns] = False
    assert not changed.any()


def test_outpainting_makes_the_picture_larger_and_keeps_it(worker: Worker) -> None:
    own = picture(128, 200)
    result = made(worker, endpoint="inpaint", inpaint_image_url=uri(own), outpaint_selections=["Right"])
    assert result.shape == (128, 260, 3)
    assert np.array_equal(result[:, : 200 - FEATHER], own[:, : 200 - FEATHER])
    edge = np.repeat(own[:, -1:], 60, axis=1)
    assert (result[:, 200:] != edge).any(axis=2).mean() > 0.9


def test_varying_keeps_the_layout(worker: Worker) -> None:
    own = np.zeros((64, 96, 3), np.uint8)
    own[:, :48], own[:, 48:] = (220, 40, 40), (40, 60, 220)
    body = {"endpoint": "upscale-or-vary", "uov_image_url": uri(own), "uov_method": "Vary (Subtle)"}
    gentle = {"advanced": {"overwrite_step": 1, "overwrite_vary_strength": 0.1}}
    result = made(worker, **body, **gentle).astype(int)
    assert result.shape == (832, 1216, 3)
    left, right = result[:, :540].mean(axis=(0, 1)), result[:, 680:].mean(axis=(0, 1))
    assert left[0] > left[2] + 50
    assert right[2] > right[0] + 50


def test_a_fast_upscale_is_the_upscaler_s_picture_in_the_size_asked_for(worker: Worker, editor: Engine) -> None:
    own = picture(64, 96)
    body = {"endpoint": "upscale-or-vary", "uov_image_url": uri(own), "uov_method": "Upscale (Fast 2x)"}
    with torch.inference_mode():
        enlarged = editor._starts._upscaler().upscale(own)
    assert np.array_equal(made(worker, **body, num_images=4), lanczos(enlarged, 1216, 832))


def bad(worker: Worker, **body: Any) -> list[tuple[list, str]]:
    result = answer(worker, **body)
    assert (result["status"], result["retryable"]) == (422, False)
    return [(detail["loc"], detail["type"]) for detail in result["detail"]]


@pytest.fixture
def idle(make_worker: MakeWorker) -> Worker:
    """A worker whose engine must not be asked for anything."""

    def render(plan: Plan, on_step: Callable[[Step], None]) -> Iterator[Any]:
        raise AssertionError("Bad pictures are found before any work of the GPU.")

    return make_worker(render=render)


GOOD = uri(picture(64, 64))


@pytest.mark.parametrize(
    ("body", "locs"),
    [
        ({"inpaint_image_url": GOOD, "mask_image_url": uri(picture(64, 65))}, [("mask_image_url", "value_error")]),
        ({"inpaint_image_url": uri(picture(8, 8)), "mask_image_url": GOOD}, [("inpaint_image_url", "image_too_small")]),
        ({"inpaint_image_url": "", "mask_image_url": GOOD}, [("inpaint_image_url", "file_download_error")]),
        (
            {"inpaint_image_url": "data:image/png;base64,AAAA", "mask_image_url": "data:image/png;base64,"},
            [("inpaint_image_url", "unsupported_image_format"), ("mask_image_url", "unsupported_image_format")],
        ),
        (
            {"inpaint_image_url": "http://127.0.0.1:1/a.png", "mask_image_url": "ftp://a/b.png"},
            [("inpaint_image_url", "file_download_error"), ("mask_image_url", "file_download_error")],
        ),
        ({"inpaint_image_url": GOOD}, [("mask_image_url", "value_error")]),
        (
            {"inpaint_image_url": GOOD, "mask_image_url": uri(np.zeros((64, 64, 3), np.uint8))},
            [("mask_image_url", "value_error")],
        ),
    ],
)
def test_bad_pictures_are_named_before_any_work(idle: Worker, body: dict, locs: list) -> None:
    assert bad(idle, endpoint="inpaint", **body) == [(["body", name], kind) for name, kind in locs]


def test_bad_pictures_of_slots_are_named(idle: Worker) -> None:
    slots = {"image_prompt_1": {"image_url": GOOD}, "image_prompt_3": {"image_url": GOOD[:122]}}
    found = bad(idle, endpoint="image-prompt", **slots)
    assert found == [(["body", "image_prompt_3", "image_url"], "image_load_error")]


def fingerprint(model: SdxlModel) -> list[tuple[int, torch.Tensor]]:
    return [(parameter.data_ptr(), parameter.clone()) for parameter in model.unet.parameters()]


@pytest.mark.parametrize(("at", "patched"), [(0, False), (1, True), (3, False)])
def test_a_cancelled_job_leaves_nothing_patched(
    editor: Engine, make_worker: MakeWorker, tmp_path: Path, plan_sources: PlanSources, at: int, patched: bool
) -> None:
    """at: the step whose report cancels: while the part is enlarged, while patched, and after the patches are off."""
    unet = editor._model.unet
    head, patch = tmp_path / "head.safetensors", tmp_path / "patch.safetensors"
    save_file({"head": torch.randn(unet.conv_in.out_channels, 5, 3, 3)}, head)
    save_file({"diffusion_model.input_blocks.0.0.weight": torch.randn_like(unet.conv_in.weight)}, patch)
    sources = replace(plan_sources, find_inpaint_network=lambda engine, loc: ((head, patch),))
    before, hooks = fingerprint(editor._model), len(unet.conv_in._forward_hooks)
    seen: list[tuple[int, int, int]] = []

    def render(plan: Plan, on_step: Callable[[Step], None]) -> Iterator[Any]:
        def cancelling(step: Step) -> None:
            seen.append((step.step, len(unet.conv_in._forward_hooks) - hooks, unet.conv_in.weight.data_ptr()))
            if step.step == at:
                raise Interrupted

        return editor.render(plan, cancelling)

    worker = make_worker(render=render, sources=lambda: sources, gpu=GpuThread())
    mask = mask_with(64, 64, slice(20, 40), slice(20, 40))
    body = {"endpoint": "inpaint", "inpaint_image_url": GOOD, "mask_image_url": uri(mask)}
    answer(worker, **body, advanced={"overwrite_step": 3, "overwrite_switch": 1})
    step, added, pointer = seen[-1]
    assert (step, added == 1, pointer != before[0][0]) == (at, patched, patched)
    assert len(unet.conv_in._forward_hooks) == hooks
    assert editor._model.variant == ()
    for (pointer, value), parameter in zip(before, unet.parameters(), strict=True):
        assert parameter.data_ptr() == pointer
        assert torch.equal(parameter, value)
