"""One worker, five places: by hand, the SDK's local API, a platform, the gateway's own worker, and a RunPod endpoint
behind a gateway. The same job has the same end in each of them: pixels, seeds, words, error and its details.

Whatever way the pictures take there: a file, a data URI, the gateway's files.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest
import requests
from PIL import Image

from tests.e2e.jobs import Fields, data, small
from tests.e2e.test_local_api import local_api
from tests.e2e.test_one_shot import printed, run_once
from tests.support.client import Client, Record
from tests.support.gateway import GatewayProcess, in_front_of, with_worker
from tests.support.platform import Platform, serving
from tests.support.worker import WorkerProcess, running

QUICK = {"FOOOCUS_WARM_UP": "false"}
JOB_S = 120
RUN = "/runpod/v2/fooocus/runsync"

Place = Callable[[Fields], Record]
"""Runs a job and gives its record: `status`, `output`, `error`."""


def scene() -> str:
    """A picture to edit, as a data URI."""
    down, across = np.mgrid[:128, :128]
    pixels = np.stack([2 * across, 2 * down, 255 - across - down], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


VARY = {"endpoint": "upscale-or-vary", "uov_image_url": scene(), "uov_method": "Vary (Subtle)"}

JOBS: dict[str, tuple[Fields, int]] = {
    "two pictures": (small(num_images=2, sync_mode=False), 2),
    "an edit, inline": (small(2, **VARY), 1),
    "a description": ({"endpoint": "describe", "image_url": scene(), "types": ["Anime"]}, 0),
    "a wrong field": (small(num_images=0), 0),
    "a LoRA that is not there": (small(loras=[{"path": "nowhere.safetensors"}]), 0),
}
"""Inputs, and how many pictures each gives. The last is one that only a worker finds wrong."""

TERSE = "the SDK's local API"
"""It keeps nothing of a failure but the error: the details never reach its client."""


@dataclass(frozen=True)
class End:
    """What a client has of a job, in whatever form it came. told: the output without pictures, times and addresses."""

    status: str
    error: str | None
    told: Any
    pictures: list[tuple[str, tuple[int, int], bytes]]


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """`python -m handler --test_input`"""

    def run(input: Fields) -> Record:
        done = run_once(tmp_path_factory.mktemp("hand"), "--test_input", json.dumps({"input": input}), **QUICK)
        output = printed(done.out)
        error = output.pop("error", None)
        assert done.code == (1 if error else 0), done.err
        return {"status": "FAILED" if error else "COMPLETED", "output": output, "error": error}

    return run


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The SDK's own HTTP API."""
    with local_api(tmp_path_factory.mktemp("api"), **QUICK) as url:
        yield lambda input: requests.post(f"{url}/runsync", json={"input": input}, timeout=JOB_S).json()


@pytest.fixture(scope="module")
def platform_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A platform of the test's own."""
    home = tmp_path_factory.mktemp("platform")
    with serving(Platform()) as own, running(WorkerProcess(own, home, "place", environment=QUICK)):
        yield Client(own).done


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with a worker of its own."""
    with with_worker(tmp_path_factory.mktemp("gateway"), QUICK) as process:
        yield process


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, gateway: GatewayProcess) -> Iterator[GatewayProcess]:
    """A gateway whose jobs go to a RunPod endpoint, which the other gateway plays."""
    with in_front_of(gateway, tmp_path_factory.mktemp("fleet")) as process:
        yield process


def through(gateway: GatewayProcess) -> Place:
    def run(input: Fields) -> Record:
        status, record = gateway.request("POST", RUN, {"input": input})
        assert status == 200, record
        return record

    return run


@pytest.fixture(scope="module")
def places(
    by_hand: Place, simulated: Place, platform_place: Place, gateway: GatewayProcess, fleet: GatewayProcess
) -> dict[str, Place]:
    return {
        "by hand": by_hand,
        TERSE: simulated,
        "a platform": platform_place,
        "the gateway's worker": through(gateway),
        "the RunPod fleet": through(fleet),
    }


def content(url: str) -> bytes:
    """A picture's bytes, wherever a place has put it."""
    if url.startswith("data:"):
        return data(url)
    if url.startswith("http"):
        return requests.get(url, timeout=30).content
    return Path(url2pathname(urlsplit(url).path)).read_bytes()


def picture(url: str) -> tuple[str, tuple[int, int], bytes]:
    with contextlib.closing(Image.open(io.BytesIO(content(url)))) as image:
        return str(image.format), image.size, image.convert("RGB").tobytes()


def end(record: Record) -> End:
    told = dict(record.get("output") or {})
    told.pop("timings", None)
    images = told.pop("images", [])
    pictures = [picture(image["url"]) for image in images]
    return End(record["status"], record.get("error"), told, pictures)


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_alike_everywhere(name: str, places: dict[str, Place]) -> None:
    input, pictures = JOBS[name]
    ends = {place: end(run(input)) for place, run in places.items()}
    first = ends["by hand"]
    assert len(first.pictures) == pictures, first.error
    assert first.told
    if first.error is not None:
        assert first.told["detail"][0]["loc"][:2] == ["body", "num_images" if "num_images" in first.error else "loras"]
        ends[TERSE] = replace(ends[TERSE], told=first.told)
    assert {place: found for place, found in ends.items() if found != first} == {}
