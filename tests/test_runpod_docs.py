"""docs/runpod.md is true: its jobs are valid, its Python runs, its settings exist, its links lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from handler.settings import Settings
from handler.storage.settings import StorageSettings
from schemas.request import parse_request
from tests.runpod_hub.test_files import POOLS, Form, Hub, read
from tests.test_readme import variables

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "runpod.md").read_text("utf-8")
EXAMPLES = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
JOBS = [example["input"] for example in EXAMPLES if "input" in example]
PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.get("endpoint", "text-to-image"))
def test_the_jobs_are_valid(job: dict[str, object]) -> None:
    parse_request(job)


def test_the_python_runs() -> None:
    (block,) = PYTHON
    exec(block, {})


class Gpu(Form):
    pools: list[str]
    count: Annotated[int, Field(ge=1)]
    minCudaVersion: str


class Workers(Form):
    min: Annotated[int, Field(ge=0)]
    max: Annotated[int, Field(ge=1)]
    idleTimeout: Annotated[int, Field(ge=1, le=3600)]


class QueueDelay(Form):
    type: Literal["QUEUE_DELAY"]
    queueDelay: Annotated[float, Field(ge=0.5)]


class CreateEndpoint(Form):
    """`CreateEndpointRequest` of RunPod's API v2, as far as it is used."""

    name: Annotated[str, Field(min_length=1)]
    type: Literal["QUEUE"]
    image: str
    disk: Annotated[int, Field(ge=1)]
    env: dict[str, str]
    gpu: Gpu
    workers: Workers
    scaling: QueueDelay
    timeout: int


@pytest.fixture
def endpoint() -> CreateEndpoint:
    (body,) = (example for example in EXAMPLES if "env" in example)
    return CreateEndpoint.model_validate(body)


def test_the_endpoint_asks_for_what_the_hub_does(endpoint: CreateEndpoint) -> None:
    config = Hub.model_validate(read("hub.json")).config
    assert set(endpoint.gpu.pools) <= POOLS & set(config.gpuIds.split(","))
    assert [endpoint.gpu.minCudaVersion] == config.allowedCudaVersions
    assert endpoint.disk == config.containerDiskInGb


def test_the_endpoints_environment_is_what_the_worker_reads(
    endpoint: CreateEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in endpoint.env.items():
        assert name in variables()
        monkeypatch.setenv(name, value)
    Settings()
    StorageSettings()


def test_every_setting_it_names_exists() -> None:
    named = set(re.findall(r"\b(?:FOOOCUS|BUCKET|GATEWAY)_[A-Z_]+[A-Z]", TEXT))
    assert named
    assert named <= set(variables())


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", TEXT)
    assert links
    assert [target for target in links if not (DOCS / target).exists()] == []
