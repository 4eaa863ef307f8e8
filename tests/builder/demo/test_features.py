"""What the committed bundle does with pictures, by the whole worker: a few of the questions `score-features` asks."""

from __future__ import annotations

import asyncio
import base64
import io
from typing import Any

import pytest
from PIL import Image

from builder.demo import score_features
from handler.job import Worker

PICTURES = 3
SETTINGS = {"performance": "Extreme Speed", "styles": [], "loras": []}


class InThisProcess:
    """Answers as `builder.demo.worker.LocalWorker` does, without a process of its own."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker

    def output(self, **fields: Any) -> dict[str, Any]:
        answer = asyncio.run(self.worker.handle({"id": "job", "input": fields}))
        assert "error" not in answer, answer
        return answer

    def picture(self, **fields: Any) -> Image.Image:
        image = self.output(**fields, sync_mode=True, output_format="png")["images"][0]
        return Image.open(io.BytesIO(base64.b64decode(image["url"].partition(",")[2]))).convert("RGB")


@pytest.fixture
def worker(demo_worker: Worker) -> InThisProcess:
    return InThisProcess(demo_worker)


@pytest.mark.parametrize(
    ("feature", "least"),
    [
        ("vary-subtle", {"background": 1, "colour": 1}),
        ("vary-strong", {"background": 1, "colour": 0.6}),
        ("inpaint", {"background": 1, "colour": 0.6, "PSNR outside": 35}),
        ("outpaint", {"larger": 1, "background goes on": 0.6, "PSNR of what was there": 35}),
        ("canny", {"background": 0.6, "colour": 0.6, "shape": 0.6, "edge IoU": 0.2}),
        ("cpds", {"background": 0.6, "colour": 0.6, "shape": 0.6, "edge IoU": 0.2}),
        ("image-prompt", {"background": 0.6, "colour": 0.6}),
        ("face-swap", {"background": 0.6, "skin": 0.6}),
        ("describe", {"colour and shape": 0.6}),
    ],
)
def test_a_feature_does_what_it_is_for(worker: InThisProcess, feature: str, least: dict[str, float]) -> None:
    found = score_features.score(worker, feature, PICTURES, **SETTINGS)  # type: ignore[arg-type]
    assert {name: found[name] for name in least if found[name] < least[name]} == {}, found


def test_an_upscaled_picture_is_nearer_to_the_large_one_than_bicubic(worker: InThisProcess) -> None:
    found = score_features.score(worker, "upscale", PICTURES, **SETTINGS)  # type: ignore[arg-type]
    assert found["PSNR"] > found["PSNR of bicubic"] + 1
