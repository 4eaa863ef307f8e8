"""A picture of the real worker through two gateways: fal's client calls the first, the second plays RunPod for it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import httpx2
import pytest
from PIL import Image

from tests.support.gateway import GatewayProcess, in_front_of


@pytest.fixture
def front(tmp_path_factory: pytest.TempPathFactory, painting: GatewayProcess) -> Iterator[GatewayProcess]:
    with in_front_of(painting, tmp_path_factory.mktemp("front")) as gateway:
        yield gateway


def test_two_pictures(front: GatewayProcess) -> None:
    asked = {"prompt": "a red circle on a blue background", "aspect_ratio": "256x256", "num_images": 2, "styles": []}
    status, body = front.request("POST", "/run/fal-ai/fooocus", asked | {"advanced": {"overwrite_step": 4}})
    assert status == 200, body
    urls = [image["url"] for image in body["images"]]
    assert all(url.startswith(f"{front.url}/files/") for url in urls)
    sizes = [Image.open(io.BytesIO(httpx2.get(url, trust_env=False).content)).size for url in urls]
    assert sizes == [(256, 256)] * 2
    assert len(set(urls)) == 2
