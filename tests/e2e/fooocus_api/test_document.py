"""The Python samples of Fooocus-API's own document run against the gateway, only the address of the server changed.

The document is not ours to ship: name a copy of it (`docs/api_doc_en.md`) by FOOOCUS_API_DOCUMENT. Its indentation may
be lost. Three samples cannot run as printed; what happens instead:

- `image-prompt` v1 sends settings of its pictures as text of Python dicts. They are read and used.
- `refresh-models` says itself that it was removed. It answers like `all-models`.
- `job-history` defines a function `job-history`, which is no name in Python. The test calls the URL it names.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image, ImageDraw

from schemas.style_names import STYLE_NAMES
from tests.e2e.fooocus_api.conftest import PRESET, Finished
from tests.support.document import Sample, samples

DOCUMENT = os.environ.get("FOOOCUS_API_DOCUMENT", "")
ADDRESS = "http://127.0.0.1:8888"
SIDE = 256
LEAST = 1024
"""Side of the smallest picture Fooocus upscales to: smaller ones are raised to this area first."""

RED, BLUE = (220, 30, 30), (40, 60, 200)
SIZE = tuple(map(int, PRESET["default_aspect_ratio"].split("*")))

pytestmark = pytest.mark.skipif(not DOCUMENT, reason="FOOOCUS_API_DOCUMENT names no document")


def found(heading: str, number: int = 0, after: str = "") -> Sample:
    """The sample under a heading; `after`: only below this larger heading."""
    text = Path(DOCUMENT).read_text("utf-8")
    text = text[text.index(f"\n## {after}\n") :] if after else text
    return next(sample for sample in samples(text) if (sample.heading, sample.number) == (heading, number))


@pytest.fixture(scope="module", autouse=True)
def _pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The samples' pictures at the places they open."""
    folder = tmp_path_factory.mktemp("samples")
    pictures = folder / "examples" / "imgs"
    pictures.mkdir(parents=True)
    picture = Image.new("RGB", (SIDE, SIDE), BLUE)
    ImageDraw.Draw(picture).ellipse((64, 64, 192, 192), fill=RED)
    picture.save(pictures / "bear.jpg", quality=95)
    picture.save(pictures / "s.jpg", quality=95)
    mask = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(mask).rectangle((88, 88, 168, 168), fill=255)
    mask.save(pictures / "m.png")
    with contextlib.chdir(folder):
        yield


def run(sample: Sample, host: str) -> dict[str, Any]:
    """Run a sample; its names, and under `printed` the JSON it printed."""
    names: dict[str, Any] = {"requests": requests, "json": json, "base64": base64}
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(sample.code.replace(ADDRESS, host), sample.heading, "exec"), names)
    return names | {"printed": list(printed(out.getvalue()))}


def printed(text: str) -> Iterator[Any]:
    """Every value in a text: JSON, or a line that `print` made of a dict."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        if text.startswith("{'"):
            line, _, text = text.partition("\n")
            yield ast.literal_eval(line)
        else:
            value, end = decoder.raw_decode(text)
            yield value
            text = text[end:]


def picture_of(image: Mapping[str, Any]) -> np.ndarray:
    """The pixels of one entry of a result, (h, w, 3)."""
    assert image["finish_reason"] == "SUCCESS"
    assert image["seed"].isdigit()
    content = requests.get(image["url"], timeout=30).content
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def only_picture(job: Mapping[str, Any], finished: Finished) -> np.ndarray:
    """The pixels of an asynchronous job with one picture."""
    done = finished(job["job_id"])
    assert (done["job_stage"], done["job_progress"], done["job_status"]) == ("SUCCESS", 100, "Finished"), done
    (image,) = done["job_result"]
    return picture_of(image)


def assert_keeps_circle(pixels: np.ndarray, left: int = 0) -> None:
    """The samples' picture is still there from column `left` on: blue corners, a red ring around the mask."""
    for place, colour in (((10, left + 10), BLUE), ((246, left + 246), BLUE), ((75, left + 128), RED)):
        assert np.abs(pixels[place].astype(int) - colour).max() < 40, (place, pixels[place])


def test_text_to_image(host: str, finished: Finished) -> None:
    result = run(found("text-to-image"), host)["result"]
    assert (result["job_type"], result["job_stage"]) == ("Text to Image", "WAITING")
    assert only_picture(result, finished).shape == (SIZE[1], SIZE[0], 3)


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_image_upscale_vary(host: str, finished: Finished, version: str) -> None:
    (job,) = run(found(version, after="image-upscale-vary"), host)["printed"]
    assert job["job_type"] == "Image Upscale or Variation"
    pixels = only_picture(job, finished)
    side = max(2 * SIDE, LEAST)
    assert pixels.shape == (side, side, 3)
    assert np.abs(pixels[side // 25, side // 25].astype(int) - BLUE).max() < 60
    assert np.abs(pixels[side // 2, side // 2].astype(int) - RED).max() < 60


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_image_inpaint_outpaint(host: str, finished: Finished, version: str) -> None:
    outpaint, inpaint = run(found(version, after="image-inpaint-outpaint"), host)["printed"]
    assert outpaint["job_type"] == "Image Inpaint or Outpaint"
    grown = only_picture(outpaint, finished)
    assert grown.shape[1] > SIDE * 1.4
    assert_keeps_circle(only_picture(inpaint, finished))


def test_image_prompt_v1(host: str, finished: Finished) -> None:
    extended, inpainted, prompted = run(found("V1", after="image-prompt"), host)["printed"]
    assert picture_of(extended[0]).shape[1] > SIDE * 1.4
    assert inpainted["job_type"] == "Image Prompt"
    assert_keeps_circle(only_picture(inpainted, finished))
    assert picture_of(prompted[0]).shape == (SIZE[1], SIZE[0], 3)


def test_image_prompt_v2(host: str, finished: Finished) -> None:
    extended, inpainted, prompted = run(found("V2", after="image-prompt"), host)["printed"]
    assert picture_of(extended[0]).shape[1] > SIDE * 1.4
    assert_keeps_circle(only_picture(inpainted, finished))
    assert picture_of(prompted[0]).shape == (SIZE[1], SIZE[0], 3)


def test_text_to_image_with_image_prompt(host: str) -> None:
    (result,) = run(found("text to image with image prompt"), host)["printed"]
    assert picture_of(result[0]).shape == (SIZE[1], SIZE[0], 3)


def test_describe(host: str) -> None:
    describe = run(found("describe"), host)["describe_image"]
    for kind in ("Photo", "Anime"):
        words = describe(Path("examples/imgs/bear.jpg").read_bytes(), {"type": kind})["describe"]
        assert "red" in words
        assert "circle" in words


@pytest.mark.parametrize("heading", ["all-models", "refresh-models"])
def test_models(host: str, heading: str) -> None:
    names = run(found(heading), host)
    models = names["all_models" if heading == "all-models" else "refresh"]()
    assert models["model_filenames"] == ["fooocus_worker_demo"]
    assert "sd_xl_offset_example-lora_1.0.safetensors" in models["lora_filenames"]


def test_styles(host: str) -> None:
    assert run(found("styles"), host)["styles"]() == list(STYLE_NAMES)


def test_job_queue(host: str) -> None:
    queue = run(found("job-queue"), host)["job_queue"]()
    assert queue.keys() == {"running_size", "finished_size", "last_job_id"}


def test_query_job(host: str, finished: Finished) -> None:
    ask = run(found("query-job"), host)["taskResult"]
    job = run(found("text-to-image"), host)["result"]
    assert ask(job["job_id"])["job_id"] == job["job_id"]
    done = finished(job["job_id"])
    assert ask(job["job_id"]) == done
    assert ask("cac3914a-926d-4b6f-a46a-83794a0ce1d4")["job_type"] == "Not Found"


def test_job_history(host: str) -> None:
    with pytest.raises(SyntaxError):
        run(found("job-history"), host)
    history = requests.get(f"{host}/v1/generation/job-history", timeout=30).json()
    assert history.keys() == {"queue", "history"}
    assert all(job["is_finished"] for job in history["history"])


def test_stop(host: str) -> None:
    assert run(found("stop"), host)["stop"]() == {"msg": "success"}
