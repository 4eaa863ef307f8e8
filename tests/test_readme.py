"""The README is true: its commands run, its settings are all of them, its links lead somewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.settings import Settings as GatewaySettings
from handler.settings import Settings
from handler.storage.settings import StorageSettings
from tests.support.ports import HeldPort

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
MAKE = {"make run", "make test", "make serve"}
SERVE = "--rp_serve_api"


def command(block: str, port: int | None = None) -> list[str]:
    """The block as a shell command that uses this interpreter and, if given, this port."""
    text = block.strip().replace(".venv/bin/python", sys.executable)
    return ["bash", "-ec", text.replace("8000", str(port)) if port else text]


def environment(home: Path) -> dict[str, str]:
    return os.environ | {"HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "FOOOCUS_WARM_UP": "0"}


def plain_blocks() -> list[str]:
    return [block for block in BLOCKS if block.strip() not in MAKE and SERVE not in block and "curl" not in block]


@pytest.mark.parametrize("block", plain_blocks())
def test_commands_run(block: str, tmp_path: Path) -> None:
    done = subprocess.run(command(block), cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if "--test_input" in block:
        assert len(list((tmp_path / "outputs").rglob("*.jpeg"))) == 1


def recipe(target: str) -> str:
    """What `make` would do for a target."""
    return subprocess.run(
        ["make", "--no-print-directory", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
    ).stdout.rstrip()  # fmt: skip


def test_make_run_uses_the_worker_and_the_example() -> None:
    assert recipe("run").endswith("python -u -m handler")
    assert (ROOT / "test_input.json").is_file()


def test_make_serve_starts_the_gateway() -> None:
    assert recipe("serve").endswith("python -m gateway")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[int]:
    """The port of the README's server."""
    (serve,) = (block for block in BLOCKS if SERVE in block)
    port = HeldPort()
    server = subprocess.Popen(
        ["bash", "-c", "exec " + command(serve, port.number)[2]],
        cwd=tmp_path, env=environment(tmp_path), start_new_session=True,
    )  # fmt: skip
    try:
        yield port.number
    finally:
        os.killpg(server.pid, 15)
        server.wait()
        port.release()


def test_the_local_api_example(api: int, tmp_path: Path) -> None:
    (curl,) = (block for block in BLOCKS if "curl" in block)
    for _ in range(120):
        done = subprocess.run(command(curl, api), capture_output=True, text=True, env=environment(tmp_path))
        if done.returncode == 0:
            break
        time.sleep(0.5)
    answer = json.loads(done.stdout)
    assert answer["status"] == "COMPLETED"
    assert answer["output"]["images"][0]["url"].startswith("data:image/jpeg;base64,")


def variables() -> dict[str, str]:
    """Every environment variable of worker and gateway with its description."""
    found = {}
    for settings in (Settings, StorageSettings, GatewaySettings):
        prefix = settings.model_config.get("env_prefix", "")
        for name, field in settings.model_fields.items():
            alias = field.validation_alias
            found[alias if isinstance(alias, str) else f"{prefix}{name}".upper()] = field.description or ""
    return found


def test_every_setting_is_in_the_table() -> None:
    rows = dict(re.findall(r"^\| `([A-Z0-9_]+)` \|[^|]*\| (.*) \|$", README, re.MULTILINE))
    assert rows == variables()


def test_links_lead_to_files() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_result_example_has_the_result_keys() -> None:
    example = json.loads(re.search(r"```json\n(.*?)```", README, re.DOTALL)[1])
    assert set(example) == {"images", "timings", "has_nsfw_concepts", "seeds"}
