"""A describing job says in words what its picture shows, and refuses a bad picture at its field."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builder.demo.captions import plain
from builder.demo.world import draw
from handler.description import Description
from handler.engine.describe.describer import CAPTIONER, TAGGER, Describer
from handler.engine.describe.files import FOLDER
from handler.gpu import GpuThread
from handler.job import Worker
from handler.media.policy import FetchPolicy
from handler.start import DEMO_BUNDLE
from schemas.request import DescribeRequest

MakeWorker = Callable[..., Worker]


def uri(picture: Image.Image) -> str:
    target = io.BytesIO()
    picture.save(target, "PNG")
    return "data:image/png;base64," + base64.b64encode(target.getvalue()).decode()


@pytest.fixture(scope="module")
def circle() -> str:
    return uri(draw(plain("red", "circle", "blue").scene, 400, 300))


def run(worker: Worker, **body: Any) -> dict[str, Any]:
    answer = asyncio.run(worker.handle({"id": "job-1", "input": {"endpoint": "describe", **body}}))
    json.dumps(answer, allow_nan=False)
    return answer


def test_a_photo_gets_a_sentence(make_worker: MakeWorker, circle: str) -> None:
    answer = run(make_worker(), image_url=circle)
    assert "red circle" in answer["prompt"]
    assert "blue background" in answer["prompt"]
    assert (answer["width"], answer["height"], answer["aspect_ratio"]) == (400, 300, "1152x896")
    assert answer["styles"] == ["Fooocus Enhance", "Fooocus V2", "Fooocus Sharp"]


def test_a_drawing_gets_tags(make_worker: MakeWorker, circle: str) -> None:
    answer = run(make_worker(), image_url=circle, types=["Anime"])
    assert {"red circle", "blue background"} <= {*answer["prompt"].split(", ")}
    assert answer["styles"] == ["Fooocus V2", "Fooocus Masterpiece"]


def test_both_come_in_the_order_asked_for(make_worker: MakeWorker, circle: str) -> None:
    worker = make_worker()
    tags = run(worker, image_url=circle, types=["Anime"])["prompt"]
    both = run(worker, image_url=circle, types=["Anime", "Photo"])
    assert both["prompt"].startswith(f"{tags}, ")
    assert "red circle" in both["prompt"].removeprefix(tags)
    assert both["styles"] == ["Fooocus V2", "Fooocus Masterpiece", "Fooocus Enhance", "Fooocus Sharp"]


def test_transparency_is_white(make_worker: MakeWorker) -> None:
    star = np.asarray(draw(plain("red", "star", "black").scene, 256, 256))
    opaque = np.where(star.max(axis=2) > 100, 255, 0).astype(np.uint8)
    picture = Image.fromarray(np.dstack([star, opaque]))
    assert "white background" in run(make_worker(), image_url=uri(picture), types=["Anime"])["prompt"]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("data:image/png;base64,AAAA", "unsupported_image_format"),
        ("file:///etc/passwd", "file_download_error"),
        ("http://localhost:9/x.png", "file_download_error"),
    ],
)
def test_a_bad_picture_is_refused_at_its_field(source: str, kind: str, make_worker: MakeWorker) -> None:
    answer = run(make_worker(), image_url=source)
    assert answer["status"] == 422
    assert [(detail["loc"], detail["type"]) for detail in answer["detail"]] == [(["body", "image_url"], kind)]


def test_fields_are_checked(make_worker: MakeWorker, circle: str) -> None:
    worker = make_worker()
    for fields, loc in (
        ({}, ["body", "image_url"]),
        ({"image_url": circle, "types": ["Oil"]}, ["body", "types", 0]),
        ({"image_url": circle, "types": []}, ["body", "types"]),
    ):
        assert [detail["loc"] for detail in run(worker, **fields)["detail"]] == [loc]


@pytest.mark.parametrize(
    ("kind", "file"),
    [("Photo", "model_base_caption_capfilt_large.pth"), ("Anime", "wd-v1-4-moat-tagger-v2.onnx")],
)
def test_a_model_that_is_not_installed_is_named(kind: str, file: str, circle: str, tmp_path: Path) -> None:
    description = Description(GpuThread(), Describer([tmp_path], "cpu").describe, FetchPolicy())
    answer = run(Worker({DescribeRequest: description.run}, 10_000), image_url=circle, types=[kind])
    assert (answer["error_type"], answer["status"]) == ("model_missing", 500)
    assert f"python -m builder fetch {file}" in answer["error"]


def test_models_are_loaded_when_first_needed_and_kept(circle: str) -> None:
    describer = Describer([DEMO_BUNDLE], "cpu")
    description = Description(GpuThread(), describer.describe, FetchPolicy())
    worker = Worker({DescribeRequest: description.run}, 10_000)
    run(worker, image_url=circle, types=["Anime"])
    assert (TAGGER in describer._shelf, CAPTIONER in describer._shelf) == (True, False)
    tagger = describer._tagger()
    run(worker, image_url=circle, types=["Anime"])
    assert describer._tagger() is tagger
    assert describer._shelf.bytes == (DEMO_BUNDLE / FOLDER / "wd-v1-4-moat-tagger-v2.onnx").stat().st_size


def test_a_cancelled_job_stops_at_the_next_word(circle: str) -> None:
    describer, gpu, words = Describer([DEMO_BUNDLE], "cpu"), GpuThread(), []
    begun = threading.Event()

    def slowly(pixels: Any, types: Any, seed: int, check: Callable[[], None]) -> str:
        def counted() -> None:
            words.append(1)
            begun.set()
            cancelled.wait(30)
            check()

        return describer.describe(pixels, types, seed, counted)

    cancelled = threading.Event()

    async def cancel() -> None:
        description = Description(gpu, slowly, FetchPolicy())
        task = asyncio.create_task(description.run({"id": "job-1"}, DescribeRequest(image_url=circle)))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        for _ in range(5):  # until the cancellation has reached the GPU thread's event
            await asyncio.sleep(0)
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert len(words) == 1
