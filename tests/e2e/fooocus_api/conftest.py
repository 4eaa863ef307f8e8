"""One gateway with one worker on the demo model for all tests of Fooocus-API's door.

The operator's preset makes pictures small and steps few; the models of image prompts, which the demo has not, are of
the real classes with random weights. Everything else is as a client finds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from diffusers import UNet2DConditionModel

from tests.e2e.fooocus_api.calls import ended, paper_worker
from tests.support.controls import write_image_prompts
from tests.support.gateway import GatewayProcess, RemoteWorker, joined, render_worker, serving_gateway
from tests.support.models import DEMO_CHECKPOINT

PRESET = {
    "default_performance": "Lightning",
    "default_overwrite_step": 2,
    "default_aspect_ratio": "256*320",
    "default_loras": [],
    "default_styles": [],
    "default_inpaint_engine_version": "None",
}

Finished = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteWorker]:
    """A warm worker of a gateway."""
    home = tmp_path_factory.mktemp("fooocus-api")
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(DEMO_CHECKPOINT / "unet"))
    write_image_prompts(home / "models", unet)
    preset = home / "preset.json"
    preset.write_text(json.dumps(PRESET), "utf-8")
    process = GatewayProcess(home / "gateway", environment={"GATEWAY_PRESET": str(preset)})
    worker = render_worker(process, home)
    with serving_gateway(process), joined(worker):
        yield worker


@pytest.fixture(scope="session")
def host(renderer: RemoteWorker) -> str:
    """The address of its gateway."""
    return renderer.gateway.url


@pytest.fixture(scope="session")
def finished(host: str) -> Finished:
    """Waits for a job as clients do, by `query-job`, and gives its last answer."""
    return partial(ended, host)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway whose worker is quick and draws nothing."""
    home = tmp_path_factory.mktemp("paper")
    process = GatewayProcess(home / "gateway", environment={"GATEWAY_ALLOW_PRIVATE_WEBHOOKS": "true"})
    with serving_gateway(process), joined(paper_worker(process, home)):
        yield process


@pytest.fixture(scope="module")
def api(paper: GatewayProcess) -> str:
    return paper.url
