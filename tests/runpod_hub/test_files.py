"""`.runpod/` has the documented form, and says only what this project knows: settings, defaults, valid inputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from handler.settings import Settings
from handler.storage.settings import StorageSettings
from schemas.request import parse_request
from tests.e2e.jobs import small
from tests.support.worker import clean_environment

FOLDER = Path(__file__).parents[2] / ".runpod"
POOLS = {"AMPERE_16", "AMPERE_24", "ADA_24", "AMPERE_48", "ADA_48_PRO", "AMPERE_80", "ADA_80_PRO", "HOPPER_141"}
Cuda = Literal["11.8", "12.0", "12.1", "12.2", "12.3", "12.4", "12.5", "12.6", "12.7", "12.8", "12.9", "13.0"]


class Form(BaseModel):
    """A part of the documented schema: nothing unknown."""

    model_config = ConfigDict(extra="forbid")


class Option(Form):
    label: str
    value: str


class Input(Form):
    name: str
    type: Literal["string", "huggingface", "number", "boolean"]
    description: str
    default: str | float | bool | None = None
    required: bool = False
    advanced: bool = False
    options: list[Option] | None = None
    min: float | None = None
    max: float | None = None
    trueValue: str | None = None
    falseValue: str | None = None


class Variable(Form):
    key: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]
    value: str | None = None
    input: Input | None = None


class Preset(Form):
    name: str
    defaults: dict[str, str | float | bool]


class HubConfig(Form):
    runsOn: Literal["GPU", "CPU"]
    endpointType: Literal["LB"] | None = None
    containerDiskInGb: Annotated[int, Field(ge=1)]
    gpuCount: Annotated[int, Field(ge=1)]
    gpuIds: str
    allowedCudaVersions: list[Cuda] = []
    env: list[Variable] = []
    presets: list[Preset] = []


class Hub(Form):
    title: str
    description: str
    type: Literal["serverless"]
    category: Literal["audio", "embedding", "language", "video", "image"]
    iconUrl: str | None = None
    config: HubConfig


class KeyValue(Form):
    key: str
    value: str


class HubTest(Form):
    name: str
    input: dict[str, Any]
    timeout: Annotated[int, Field(ge=1000)]


class HubTestsConfig(Form):
    gpuTypeId: str
    gpuCount: int
    env: list[KeyValue] = []
    allowedCudaVersions: list[Cuda] = []


class HubTests(Form):
    tests: Annotated[list[HubTest], Field(min_length=1)]
    config: HubTestsConfig


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def hub() -> Hub:
    return Hub.model_validate(read("hub.json"))


def known_variables() -> set[str]:
    names = {f"FOOOCUS_{name.upper()}" for name in Settings.model_fields}
    storage = {str(field.validation_alias or name).upper() for name, field in StorageSettings.model_fields.items()}
    return names | storage | {"RUNPOD_LOG_LEVEL"}


def test_gpus_are_named_as_pools(hub: Hub) -> None:
    assert {name for name in hub.config.gpuIds.split(",") if not name.startswith("-")} <= POOLS


def test_each_variable_is_fixed_or_asked_for(hub: Hub) -> None:
    for variable in hub.config.env:
        assert (variable.value is None) != (variable.input is None), variable.key


def test_every_variable_is_a_setting_of_the_worker(hub: Hub) -> None:
    named = {variable.key for variable in hub.config.env}
    named |= {name for preset in hub.config.presets for name in preset.defaults}
    assert named <= known_variables()


def test_the_defaults_are_values_the_worker_takes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in hub.config.env:
        if variable.input is not None and variable.input.default not in (None, ""):
            default = variable.input.default
            monkeypatch.setenv(variable.key, str(default).lower() if isinstance(default, bool) else str(default))
    Settings()


def test_choices_are_the_settings_own(hub: Hub) -> None:
    policies = {member.value for member in Settings.model_fields["safety_policy"].annotation}  # type: ignore[union-attr]
    (choice,) = [v.input for v in hub.config.env if v.key == "FOOOCUS_SAFETY_POLICY" and v.input]
    assert {option.value for option in choice.options or []} == policies


def test_the_tests_inputs_are_valid() -> None:
    for test in HubTests.model_validate(read("tests.json")).tests:
        parse_request(test.input)


def test_an_empty_field_of_the_form_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FOOOCUS_CHECKPOINT", "FOOOCUS_CONCURRENCY", "FOOOCUS_MODELS_DIR"):
        monkeypatch.setenv(name, "")
    assert Settings() == Settings.model_construct()


def test_the_file_the_hub_looks_for_starts_the_worker(tmp_path: Path) -> None:
    """From any folder, and without the project on the path."""
    environment = clean_environment(tmp_path) | {"FOOOCUS_WARM_UP": "false"}
    del environment["PYTHONPATH"]
    job = json.dumps({"input": small(2, sync_mode=False)})
    command = [sys.executable, "-u", str(FOLDER / "handler.py"), "--test_input", job]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert len(list((tmp_path / "outputs").rglob("*.png"))) == 1


def test_it_has_a_readme_and_a_dockerfile_beside_it() -> None:
    assert all((FOLDER.parent / name).is_file() for name in ("README.md", "Dockerfile"))
