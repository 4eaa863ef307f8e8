"""One job through the worker: complete Image records, formats, metadata, sizes, flags, and errors in words."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from handler.engine.engine import Engine
from handler.job import Worker
from handler.media.metadata import Installed, parse, read_metadata
from handler.settings import Settings
from handler.start import DEMO_BUNDLE, DEMO_CHECKPOINT
from handler.storage.inline import InlineStore

SMALL = {"aspect_ratio": "256x192", "styles": [], "loras": [], "performance": "Lightning", "seed": 3}

MakeWorker = Callable[..., Worker]


def run(worker: Worker, **body: Any) -> dict[str, Any]:
    job = {"id": "job-1", "input": SMALL | {"prompt": "a red circle on a blue background"} | body}
    answer = asyncio.run(worker.handle(job))
    json.dumps(answer, allow_nan=False)
    return answer


def read(record: dict[str, Any]) -> bytes:
    return Path(unquote(urlsplit(record["url"]).path)).read_bytes()


def pixels(record: dict[str, Any]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(read(record))).convert("RGB"))


@pytest.mark.parametrize(("name", "magic"), [("png", b"\x89PNG"), ("jpeg", b"\xff\xd8\xff"), ("webp", b"RIFF")])
def test_image_records_are_complete_and_true(make_worker: MakeWorker, name: str, magic: bytes) -> None:
    answer = run(make_worker(), output_format=name, num_images=2)
    assert set(answer) == {"images", "timings", "has_nsfw_concepts", "seeds"}
    assert answer["has_nsfw_concepts"] == [False, False]
    assert answer["seeds"] == ["3", "4"]
    assert set(answer["timings"]) == {"plan", "inference", "upload"}
    for index, record in enumerate(answer["images"]):
        data = read(record)
        assert data.startswith(magic)
        assert record["file_name"] == f"job-1-{index}.{name}"
        assert record["content_type"] == f"image/{name}"
        assert record["file_size"] == len(data)
        assert Image.open(io.BytesIO(data)).size == (record["width"], record["height"]) == (256, 192)
    assert not np.array_equal(pixels(answer["images"][0]), pixels(answer["images"][1]))


def test_the_same_seed_gives_the_same_pixels_whatever_came_between(make_worker: MakeWorker) -> None:
    worker = make_worker()
    first = run(worker, output_format="png")
    run(worker, seed=99, performance="Extreme Speed")
    run(worker, loras=[{"path": "nowhere"}])
    second = run(worker, output_format="png", num_images=2, seed=2)
    assert np.array_equal(pixels(first["images"][0]), pixels(second["images"][1]))


def test_up_to_32_images_through_advanced(make_worker: MakeWorker) -> None:
    answer = run(make_worker(), aspect_ratio="64x64", advanced={"num_images": 32, "overwrite_step": 1})
    assert len(answer["images"]) == len(answer["seeds"]) == len(set(answer["seeds"])) == 32


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("scheme", ["fooocus", "a1111"])
def test_metadata_when_asked(make_worker: MakeWorker, output_format: str, scheme: str) -> None:
    settings = {"save_metadata": True, "metadata_scheme": scheme}
    answer = run(
        make_worker(), output_format=output_format, advanced=settings, performance="Speed", negative_prompt="green",
        styles=["SAI Anime"], guidance_scale=5, aspect_ratio="256x64",
    )  # fmt: skip
    found = read_metadata(read(answer["images"][0]))
    assert found is not None
    installed = Installed(checkpoints=("fooocus_worker_demo.safetensors",))
    values = parse(found, installed)
    assert values["prompt"] == "a red circle on a blue background"
    assert values["negative_prompt"] == "green"
    assert str(values["seed"]) == "3"
    assert int(values["steps"]) == 30
    assert float(values["guidance_scale"]) == 5
    assert "256" in str(values["resolution"])


def test_no_metadata_unless_asked(make_worker: MakeWorker) -> None:
    for output_format in ("png", "jpeg", "webp"):
        assert read_metadata(read(run(make_worker(), output_format=output_format)["images"][0])) is None


def test_sync_mode_gives_data_uris(make_worker: MakeWorker, tmp_path: Path) -> None:
    worker = make_worker(choose_store=lambda job, inline: InlineStore() if inline else None)
    record = run(worker, sync_mode=True, output_format="webp")["images"][0]
    head, data = record["url"].split(",", 1)
    assert head == "data:image/webp;base64"
    assert len(base64.b64decode(data)) == record["file_size"]
    assert not (tmp_path / "outputs").exists()


def test_a_result_too_large_to_post_is_refused_in_words(make_worker: MakeWorker) -> None:
    worker = make_worker(
        settings=Settings(max_result_bytes=2_000), choose_store=lambda job, inline: InlineStore()
    )
    answer = run(worker, sync_mode=True, output_format="png")
    assert answer["error"].startswith("RESULT_TOO_LARGE: ")


@pytest.mark.parametrize(
    ("body", "loc", "kind"),
    [
        ({"num_images": 9}, ["body", "num_images"], "less_than_equal"),
        ({"control_image_url": "data:;base64,AAAA"}, ["body", "control_image_url"], "file_download_error"),
        ({"loras": [{"path": "nowhere"}]}, ["body", "loras", 0, "path"], "model_load_error"),
        ({"endpoint": "enhance", "image_url": "data:,"}, ["body", "endpoint"], "feature_not_supported"),
        ({"endpoint": "generate-mask", "image_url": "data:,"}, ["body", "endpoint"], "feature_not_supported"),
    ],
)
def test_bad_input_names_the_field(make_worker: MakeWorker, body: dict, loc: list, kind: str) -> None:
    answer = run(make_worker(), **body)
    assert (answer["status"], answer["retryable"]) == (422, False)
    assert answer["detail"][0]["loc"] == loc
    assert answer["detail"][0]["type"] == kind
    assert answer["error"].startswith("INVALID_INPUT: ") or answer["error"].startswith(kind.upper())


@pytest.mark.parametrize("job_input", [None, [], "text", 7])
def test_input_that_is_no_object(make_worker: MakeWorker, job_input: object) -> None:
    answer = asyncio.run(make_worker().handle({"id": "j", "input": job_input}))
    assert answer["detail"][0]["loc"] == ["body"]


@pytest.fixture(scope="module")
def strict_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The demo model with a safety checker whose thresholds flag every picture."""
    models = tmp_path_factory.mktemp("models")
    shutil.copytree(DEMO_BUNDLE / "safety_checker", models / "safety_checker")
    weights = models / "safety_checker" / "model.safetensors"
    tensors = load_file(weights)
    for name in ("concept_embeds_weights", "special_care_embeds_weights"):
        tensors[name] = torch.full_like(tensors[name], -2.0)
    save_file(tensors, weights, metadata={"format": "pt"})
    return Engine.load(DEMO_CHECKPOINT, (models,), "cpu", check_safety=True)


def test_a_flagged_picture_leaves_black(make_worker: MakeWorker, strict_engine: Engine) -> None:
    answer = run(make_worker(render=strict_engine.render), output_format="png")
    assert answer["has_nsfw_concepts"] == [True]
    assert pixels(answer["images"][0]).max() == 0


def test_policy_flag_releases_it(make_worker: MakeWorker, strict_engine: Engine) -> None:
    answer = run(make_worker(render=strict_engine.render, settings=Settings(safety_policy="flag")))
    assert answer["has_nsfw_concepts"] == [True]
    assert pixels(answer["images"][0]).max() > 0


def test_a_request_may_switch_the_checker_off(make_worker: MakeWorker, strict_engine: Engine) -> None:
    answer = run(make_worker(render=strict_engine.render), enable_safety_checker=False)
    assert answer["has_nsfw_concepts"] == [False]
    assert pixels(answer["images"][0]).max() > 0


def test_no_picture_when_the_checker_fails(make_worker: MakeWorker, strict_engine: Engine, tmp_path: Path) -> None:
    network = strict_engine._safety._network
    good = network.concept_embeds.data
    network.concept_embeds.data = torch.full_like(good, float("nan"))
    try:
        answer = run(make_worker(render=strict_engine.render))
    finally:
        network.concept_embeds.data = good
    assert answer["error"].startswith("SAFETY_CHECK_FAILED: ")
    assert not list((tmp_path / "outputs").rglob("*.*"))
