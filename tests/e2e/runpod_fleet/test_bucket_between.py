"""A gateway that nobody reaches and an endpoint without a bucket, with a bucket of the gateway's between them: the
real worker behind a gateway that plays RunPod, a real S3 server, and fal's door in front."""

from __future__ import annotations

import base64
import contextlib
import io
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image

from gateway.jobs.store import FILE
from tests.e2e.jobs import Fields, small
from tests.support.gateway import GatewayProcess, in_front_of, until, with_worker
from tests.support.s3 import Bucket

APP = "/queue/fal-ai/fooocus"
SIDE = 2048


@pytest.fixture(scope="module")
def travel(new_bucket: Callable[[], Bucket]) -> Bucket:
    return new_bucket()


@pytest.fixture(scope="module")
def back(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """The endpoint. Its worker may use the bucket, which is at a private address here."""
    environment = {"FOOOCUS_ALLOW_PRIVATE_URLS": "true", "FOOOCUS_PROGRESS_INTERVAL_S": "0"}
    with with_worker(tmp_path_factory.mktemp("back"), environment) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def front(
    tmp_path_factory: pytest.TempPathFactory, back: GatewayProcess, travel: Bucket
) -> Iterator[GatewayProcess]:
    bucket = {
        "GATEWAY_BUCKET_ENDPOINT_URL": travel.server.endpoint,
        "GATEWAY_BUCKET_ACCESS_KEY_ID": travel.server.access_key,
        "GATEWAY_BUCKET_SECRET_ACCESS_KEY": travel.server.secret,
        "GATEWAY_BUCKET_NAME": travel.name,
    }
    with in_front_of(back, tmp_path_factory.mktemp("front"), bucket) as gateway:
        yield gateway


def records(data: Path) -> Iterator[str]:
    """Every row the gateway has written, as text."""
    with contextlib.closing(sqlite3.connect(data / FILE)) as store:
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            yield str(store.execute(f'SELECT * FROM "{table}"').fetchall())


def check_no_trace(front: GatewayProcess, travel: Bucket) -> None:
    """The bucket gets empty; its key was written down nowhere."""
    until(lambda: not travel.keys(), 30)
    for text in (front.log(), *records(front.data)):
        assert travel.server.secret not in text
        assert travel.server.access_key not in text


def submit(front: GatewayProcess, path: str, input: Fields) -> str:
    status, body = front.request("POST", f"{APP}{path}", input)
    assert status == 200, body
    return body["request_id"]


def status(front: GatewayProcess, request_id: str) -> dict[str, Any]:
    return front.get(f"{APP}/requests/{request_id}/status?logs=1")[1]


def result(front: GatewayProcess, request_id: str) -> tuple[int, dict[str, Any]]:
    until(lambda: status(front, request_id)["status"] == "COMPLETED", 120)
    return front.get(f"{APP}/requests/{request_id}")


def uri(picture: Image.Image) -> str:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def square(side: int) -> Image.Image:
    """A mask: black, a quarter of its middle white."""
    mask = np.zeros((side, side), np.uint8)
    mask[side // 4 : side // 2, side // 4 : side // 2] = 255
    return Image.fromarray(mask)


def request(steps: int = 2, **fields: Any) -> Fields:
    return small(steps, sync_mode=False, **fields)


def test_a_big_inpaint_goes_there_and_comes_back(front: GatewayProcess, travel: Bucket) -> None:
    """RunPod takes 10 MB of a job; this picture alone is larger."""
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    source = uri(Image.fromarray(noise))
    assert len(source) > 10_000_000
    input = request(inpaint_image_url=source, mask_image_url=uri(square(SIDE)), num_images=2)
    code, body = result(front, submit(front, "/inpaint", input))
    assert code == 200, body
    for image in body["images"]:
        assert image["url"].startswith(f"{front.url}/files/")
        picture = Image.open(io.BytesIO(httpx2.get(image["url"], trust_env=False).content))
        assert picture.size == (image["width"], image["height"])
    assert len(body["images"]) == 2
    check_no_trace(front, travel)


def test_a_failure_leaves_nothing(front: GatewayProcess, travel: Bucket) -> None:
    """The picture is none: the worker finds that out, and its words hold no link."""
    none = "data:image/png;base64," + base64.b64encode(bytes(100_000)).decode()
    input = request(inpaint_image_url=none, mask_image_url=uri(square(300)))
    code, body = result(front, submit(front, "/inpaint", input))
    assert (code, body["detail"][0]["loc"]) == (422, ["body", "inpaint_image_url"])
    assert travel.name not in str(body)
    check_no_trace(front, travel)


def test_a_cancel_leaves_nothing(front: GatewayProcess, travel: Bucket) -> None:
    picture = uri(Image.fromarray(np.random.default_rng(2).integers(0, 256, (300, 300, 3), dtype=np.uint8)))
    input = request(200, inpaint_image_url=picture, mask_image_url=uri(square(300)))
    request_id = submit(front, "/inpaint", input)
    until(lambda: "Step" in str(status(front, request_id)), 60)
    assert travel.keys()
    assert front.request("PUT", f"{APP}/requests/{request_id}/cancel")[0] == 202
    check_no_trace(front, travel)


def test_a_clients_own_bucket_is_used_and_left_alone(
    front: GatewayProcess, travel: Bucket, new_bucket: Callable[[], Bucket]
) -> None:
    own = new_bucket()
    config = {
        "accessId": own.server.access_key, "accessSecret": own.server.secret, "bucketName": own.name,
        "endpointUrl": own.server.endpoint,
    }  # fmt: skip
    code, body = front.request("POST", "/runpod/v2/fooocus/runsync", {"input": request(), "s3Config": config})
    assert (code, body["status"]) == (200, "COMPLETED"), body
    (image,) = body["output"]["images"]
    assert f"/{own.name}/" in image["url"]
    assert len(own.keys()) == 1
    assert travel.keys() == []
