"""Each feature that works with a picture, through the worker: sizes, layouts, and which pixels change."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from handler.engine.engine import Engine
from handler.engine.preview import Preview
from handler.inpaint_files import InpaintLibrary
from handler.installed import checkpoint_library
from handler.job import Worker
from handler.plan.build import PlanSources
from handler.start import DEMO_BUNDLE, DEMO_CHECKPOINT
from schemas.enums import FalRefiner, InpaintMode
from tests.handler.pixels.drawn_face import drawn_face
from tests.support.controls import CPDS, random_controlnet, write_diffusers_folder, write_image_prompts
from tests.support.models import load_tiny, make_models
from tests.support.networks import CHECKPOINT
from tests.support.refiners import write_sd15
from tests.support.requests import mask_with, picture, uri

MakeWorker = Callable[..., Worker]

FAST = {"prompt": "a red circle", "styles": [], "loras": [], "performance": "Lightning", "seed": 5,
        "aspect_ratio": "128x128", "output_format": "png", "enable_safety_checker": False}  # fmt: skip
HOLE = (slice(40, 60), slice(60, 90))
FEATHER = 32


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Control models and an inpaint engine of random weights for the demo model."""
    folder = tmp_path_factory.mktemp("models")
    unet = Engine.load(DEMO_CHECKPOINT, (DEMO_BUNDLE,), "cpu", False)._model.unet
    write_image_prompts(folder, unet, scale=4.0)
    write_diffusers_folder(folder / "controlnet" / CPDS, random_controlnet(unet))
    (folder / "inpaint").mkdir()
    channels = unet.conv_in.out_channels
    save_file({"head": torch.randn(channels, 5, 3, 3)}, folder / "inpaint" / "fooocus_inpaint_head.safetensors")
    patch = {"diffusion_model.input_blocks.0.0.bias": torch.randn(channels)}
    save_file(patch, folder / "inpaint" / "inpaint_v26.fooocus.safetensors")
    return folder


@pytest.fixture(scope="module")
def editor(models: Path) -> Engine:
    return Engine.load(DEMO_CHECKPOINT, (models, DEMO_BUNDLE), "cpu", False)


@pytest.fixture
def worker(make_worker: MakeWorker, editor: Engine) -> Worker:
    return make_worker(render=editor.render)


def made(worker: Worker, advanced: dict[str, Any] | None = None, **body: Any) -> np.ndarray:
    body = FAST | body | {"advanced": {"overwrite_step": 1} | (advanced or {})}
    result = asyncio.run(worker.handle({"id": "job-1", "input": body}))
    assert "error" not in result, result
    return np.asarray(Image.open(unquote(urlsplit(result["images"][0]["url"]).path)).convert("RGB"))


def halves(height: int, width: int) -> np.ndarray:
    """Red on the left, blue on the right."""
    own = np.zeros((height, width, 3), np.uint8)
    own[:, : width // 2], own[:, width // 2 :] = (220, 40, 40), (40, 60, 220)
    return own


@pytest.mark.parametrize(
    ("method", "factor", "own", "size"),
    [
        ("Upscale (1.5x)", None, (704, 736), (1056, 1104)),
        ("Upscale (2x)", None, (520, 544), (1040, 1088)),
        ("Upscale (2x)", 3.0, (352, 360), (1056, 1080)),
        ("Vary (Strong)", None, (64, 96), (832, 1216)),
    ],
)
def test_a_picture_that_is_sampled_again_has_its_size_and_keeps_its_layout(
    worker: Worker, method: str, factor: float | None, own: tuple[int, int], size: tuple[int, int]
) -> None:
    strengths = {"overwrite_upscale_strength": 0.1, "overwrite_vary_strength": 0.1}
    custom = {"upscale_value": factor} if factor else {}
    body = {"endpoint": "upscale-or-vary", "uov_image_url": uri(halves(*own)), "uov_method": method}
    result = made(worker, strengths | custom, **body).astype(int)
    assert result.shape == (*size, 3)
    edge = size[1] // 20
    left, right = (
        half.mean(axis=(0, 1)) for half in (result[:, : size[1] // 2 - edge], result[:, size[1] // 2 + edge :])
    )
    assert left[0] > left[2] + 50
    assert right[2] > right[0] + 50


def test_vary_strong_departs_further_than_vary_subtle(worker: Worker) -> None:
    own = halves(64, 96)
    body = {"endpoint": "upscale-or-vary", "uov_image_url": uri(own)}
    large = np.asarray(Image.fromarray(own).resize((1216, 832), Image.Resampling.NEAREST)).astype(int)
    subtle, strong = (
        np.abs(made(worker, uov_method=f"Vary ({name})", **body) - large).mean() for name in ("Subtle", "Strong")
    )
    assert strong > subtle > 0


def repainted(worker: Worker, mask: np.ndarray, **body: Any) -> tuple[np.ndarray, np.ndarray]:
    """The result, and which pixels are not those of `picture`."""
    own = picture(*mask.shape[:2])
    result = made(worker, endpoint="inpaint", inpaint_image_url=uri(own), mask_image_url=uri(mask), **body)
    return result, (result != own).any(axis=2)


def beyond(changed: np.ndarray, distance: int) -> int:
    """How many pixels change further than this from the hole."""
    far = changed.copy()
    far[tuple(slice(max(0, place.start - distance), place.stop + distance) for place in HOLE)] = False
    return int(far.sum())


@pytest.mark.parametrize("mode", [InpaintMode.IMPROVE_DETAIL, InpaintMode.MODIFY_CONTENT])
def test_every_mode_changes_the_mask_and_nothing_beyond_its_edge(worker: Worker, mode: InpaintMode) -> None:
    mask = mask_with(160, 240, *HOLE)
    result, changed = repainted(worker, mask, inpaint_mode=mode, inpaint_additional_prompt="a blue square")
    assert changed[HOLE].mean() > 0.9
    assert not beyond(changed, FEATHER)
    usual, _ = repainted(worker, mask)
    assert (result != usual).any()


def test_the_mask_may_be_grown_and_shrunk(worker: Worker) -> None:
    counts = []
    for pixels in (-8, 0, 16):
        options = {"override_inpaint_options": True, "inpaint_erode_or_dilate": pixels}
        _, changed = repainted(worker, mask_with(160, 240, *HOLE), **options)
        assert not beyond(changed, FEATHER + max(0, pixels) + 2)
        counts.append(changed.sum())
    assert counts[0] < counts[1] < counts[2]


def test_outpainting_by_distance_adds_so_many_pixels(worker: Worker) -> None:
    own = picture(128, 200)
    distances = {"outpaint_distances": {"left": 40, "bottom": 24}}
    result = made(worker, distances, endpoint="inpaint", inpaint_image_url=uri(own))
    assert result.shape == (152, 240, 3)
    assert np.array_equal(result[: 128 - FEATHER, 40 + FEATHER :], own[: 128 - FEATHER, FEATHER:])
    assert result[128:].std() > 0


def test_an_inpaint_engine_of_the_models_folder_is_used(
    make_worker: MakeWorker, editor: Engine, models: Path, plan_sources: PlanSources
) -> None:
    sources = replace(plan_sources, find_inpaint_network=InpaintLibrary((models,), required=True).find)
    worker = make_worker(render=editor.render, sources=lambda: sources)
    mask = mask_with(160, 240, *HOLE)
    result, changed = repainted(worker, mask)
    options = {"override_inpaint_options": True, "inpaint_engine": "None"}
    without, _ = repainted(worker, mask, **options)
    assert (result[HOLE] != without[HOLE]).any()
    assert not beyond(changed, FEATHER)


@pytest.mark.parametrize(
    ("kind", "image", "other"),
    [
        ("CPDS", halves(128, 128), picture(128, 128)),
        ("FaceSwap", drawn_face(), drawn_face(middle=(130, 200), size=0.8)),
    ],
)
def test_a_control_image_steers(worker: Worker, kind: str, image: np.ndarray, other: np.ndarray) -> None:
    plain = made(worker)
    control = {"control_type": kind, "control_image_weight": 1.0, "control_image_stop_at": 1.0}
    first, again, second = (made(worker, control_image_url=uri(pixels), **control) for pixels in (image, image, other))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, plain)
    assert not np.array_equal(first, second)


def test_a_face_is_cut_out_before_it_is_seen(worker: Worker) -> None:
    face = drawn_face()
    control = {"control_type": "FaceSwap", "control_image_stop_at": 1.0}
    cropped = made(worker, control_image_url=uri(face), **control)
    whole = made(worker, {"skipping_cn_preprocessor": True}, control_image_url=uri(face), **control)
    assert not np.array_equal(cropped, whole)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTP server of a folder: its origin, and the folder."""
    quiet = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = HTTPServer(("127.0.0.1", 0), quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


def test_pictures_by_url_are_those_by_data_uri(worker: Worker, served: tuple[str, Path]) -> None:
    origin, folder = served
    mask = mask_with(160, 240, *HOLE)
    for name, pixels in (("own", picture(160, 240)), ("mask", mask)):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    by_url = {"inpaint_image_url": f"{origin}/own.png", "mask_image_url": f"{origin}/mask.png"}
    result, _ = repainted(worker, mask)
    assert np.array_equal(made(worker, endpoint="inpaint", **by_url), result)


def test_fal_s_refiner_is_used_where_its_file_is(
    make_worker: MakeWorker, plan_sources: PlanSources, tmp_path: Path
) -> None:
    models = make_models(tmp_path / "models")
    write_sd15(models, FalRefiner.REALISTIC_VISION.removesuffix(".safetensors"))
    base = models / "checkpoints" / CHECKPOINT.name
    engine = Engine(load_tiny(models), None, Preview.load(base, [models]), (models,))
    sources = replace(plan_sources, base=base, find_checkpoint=checkpoint_library((models,)).find)
    worker = make_worker(render=engine.render, sources=lambda: sources)
    steps = {"overwrite_step": 4}
    body = {"performance": "Speed", "refiner_switch": 0.5}
    plain = made(worker, steps, **body)
    refined = made(worker, steps, refiner_model=FalRefiner.REALISTIC_VISION, **body)
    assert refined.shape == plain.shape
    assert not np.array_equal(refined, plain)
    assert np.array_equal(made(worker, steps, **body), plain)
