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
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from schemas.style_names import STYLE_NAMES
from tests.e2e.fooocus_api.calls import BLUE, RED, SIDE, circle, ended, mask, paper_worker, pixels, submit
from tests.e2e.fooocus_api.conftest import PRESET, Finished
from tests.support.document import Sample, samples
from tests.support.gateway import GatewayProcess, joined, serving_gateway, until
from tests.support.ports import HeldPort
from tests.support.worker import clean_environment

DOCUMENT = os.environ.get("FOOOCUS_API_DOCUMENT", "")
ADDRESS = "http://127.0.0.1:8888"
LEAST = 1024
"""Side of the smallest picture Fooocus upscales to: smaller ones are raised to this area first."""

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
    picture = Image.open(io.BytesIO(circle()))
    picture.save(pictures / "bear.jpg", quality=95)
    picture.save(pictures / "s.jpg", quality=95)
    (pictures / "m.png").write_bytes(mask())
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
    assert image["seed"].isdigit()
    return pixels(image)


def only_picture(job: Mapping[str, Any], finished: Finished) -> np.ndarray:
    """The pixels of an asynchronous job with one picture."""
    done = finished(job["job_id"])
    assert (done["job_stage"], done["job_progress"], done["job_status"]) == ("SUCCESS", 100, "Finished"), done
    (image,) = done["job_result"]
    return picture_of(image)


def assert_keeps_circle(picture: np.ndarray, left: int = 0) -> None:
    """The samples' picture is still there from column `left` on: blue corners, a red ring around the mask."""
    for place, colour in (((10, left + 10), BLUE), ((246, left + 246), BLUE), ((75, left + 128), RED)):
        assert np.abs(picture[place].astype(int) - colour).max() < 40, (place, picture[place])


def assert_repainted(picture: np.ndarray) -> None:
    """The circle is there, and what the mask covers is something else, no single colour."""
    assert picture.shape == (SIDE, SIDE, 3)
    assert_keeps_circle(picture)
    area = picture[96:160, 96:160].astype(int)
    assert np.abs(area - RED).mean() > 10
    assert is_drawn(area)


def assert_grown(picture: np.ndarray) -> None:
    """30 % were added at the left and at the right, and something was drawn there; the circle is in the middle."""
    side = round(0.3 * SIDE)
    assert abs(picture.shape[1] - (SIDE + 2 * side)) <= 2
    assert_keeps_circle(picture, side)
    assert is_drawn(picture[:, : side - 8])
    assert is_drawn(picture[:, -side + 8 :])


def is_drawn(area: np.ndarray) -> bool:
    """Whether an area is no single colour, nor stripes as a stretched border gives."""
    return bool(area.std((0, 1)).max() > 1 and area.std(1).max() > 1)


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
    assert_grown(only_picture(outpaint, finished))
    assert_repainted(only_picture(inpaint, finished))


def test_image_prompt_v1(host: str, finished: Finished) -> None:
    extended, inpainted, prompted = run(found("V1", after="image-prompt"), host)["printed"]
    assert_grown(picture_of(extended[0]))
    assert inpainted["job_type"] == "Image Prompt"
    assert_repainted(only_picture(inpainted, finished))
    assert picture_of(prompted[0]).shape == (SIZE[1], SIZE[0], 3)


def test_image_prompt_v2(host: str, finished: Finished) -> None:
    extended, inpainted, prompted = run(found("V2", after="image-prompt"), host)["printed"]
    assert_grown(picture_of(extended[0]))
    assert_repainted(only_picture(inpainted, finished))
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


def test_webhook(tmp_path: Path) -> None:
    """The receiver runs as it is, and prints what the gateway's `--webhook-url` tells it."""
    port = HeldPort()
    code = found("webhook").code.replace("port=8000", f"port={port.number}")
    arguments = ("--webhook-url", f"http://127.0.0.1:{port.number}/status", "--allow-private-webhooks")
    gateway = GatewayProcess(tmp_path / "gateway", arguments)
    with receiving(code, tmp_path) as log, serving_gateway(gateway), joined(paper_worker(gateway, tmp_path / "paper")):
        until(lambda: "Uvicorn running" in log.read_text())
        job = submit(gateway.url)["job_id"]
        line = until(lambda: next((line for line in log.read_text().splitlines() if line.startswith("{")), None))
        (image,) = ended(gateway.url, job)["job_result"]
    port.release()
    assert ast.literal_eval(line) == {"job_id": job, "job_result": [{"url": image["url"], "seed": image["seed"]}]}


@contextlib.contextmanager
def receiving(code: str, home: Path) -> Iterator[Path]:
    """A process that runs `code`; the file its output goes to."""
    log = home / "receiver.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", code], cwd=home, env=clean_environment(home), stdout=out, stderr=out
        )
    try:
        yield log
    finally:
        process.kill()
        process.wait()
