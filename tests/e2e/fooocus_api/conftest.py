"""One gateway with one worker on the demo model for all tests of Fooocus-API's door.

The operator's preset makes pictures small and steps few; the models of image prompts, which the demo has not, are of
the real classes with random weights. Everything else is as a client finds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from diffusers import UNet2DConditionModel

from tests.support.controls import write_image_prompts
from tests.support.gateway import GatewayProcess, joined, render_worker, serving_gateway, until
from tests.support.models import DEMO_CHECKPOINT

PRESET = {
    "default_performance": "Lightning",
    "default_overwrite_step": 2,
    "default_aspect_ratio": "256*320",
    "default_loras": [],
    "default_styles": [],
    "default_inpaint_engine_version": "None",
}
JOB_S = 120.0

Finished = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with a warm worker."""
    home = tmp_path_factory.mktemp("fooocus-api")
    unet = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(DEMO_CHECKPOINT / "unet"))
    write_image_prompts(home / "models", unet)
    preset = home / "preset.json"
    preset.write_text(json.dumps(PRESET), "utf-8")
    process = GatewayProcess(home / "gateway", environment={"GATEWAY_PRESET": str(preset)})
    with serving_gateway(process), joined(render_worker(process, home)):
        yield process


@pytest.fixture(scope="session")
def host(gateway: GatewayProcess) -> str:
    return gateway.url


@pytest.fixture(scope="session")
def finished(host: str) -> Finished:
    """Waits for a job as clients do, by `query-job`, and gives its last answer."""

    def wait(job_id: str) -> dict[str, Any]:
        def answer() -> dict[str, Any] | None:
            job = requests.get(f"{host}/v1/generation/query-job", params={"job_id": job_id}, timeout=30).json()
            return job if job["job_stage"] in ("SUCCESS", "ERROR") else None

        return until(answer, JOB_S, 0.1)

    return wait
