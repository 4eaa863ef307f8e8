"""The image of MODELS=none, its steps run in a Debian root: it renders a job as either user, and no layer has a token.

Downloads some hundred MB, a few GB where pip finds only torch's CUDA build. Run by hand, as root, with debootstrap:

    CONTAINER_OPTIONS="--debian ROOT" pytest --run-slow tests/slow/test_container.py
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.slow.container import TOKENS

pytestmark = pytest.mark.slow

SCRIPT = ("unshare", "--mount", sys.executable, "-m", "tests.slow.container")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """The folder of the layers, and what the script says of each step."""
    folder = tmp_path_factory.mktemp("image")
    options = shlex.split(os.environ.get("CONTAINER_OPTIONS", ""))
    done = subprocess.run([*SCRIPT, *options, str(folder), "MODELS=none"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    return folder / "layers", [json.loads(line) for line in done.stdout.splitlines()]


def test_every_step_was_run_and_the_image_renders(built: tuple[Path, list[dict[str, Any]]]) -> None:
    layers, told = built
    jobs = [step for step in told if step["step"] == "job"]
    assert [(job["user"], job["command"]) for job in jobs] == [
        (user, ["python", "-u", "-m", "handler"]) for user in ("worker", "root")
    ]
    for user, uid in (("worker", 1000), ("root", 0)):
        (picture,) = (layers / f"container-{user}/app/outputs").rglob("*.png")
        assert picture.stat().st_uid == uid


def test_no_layer_has_a_token(built: tuple[Path, list[dict[str, Any]]]) -> None:
    layers, told = built
    assert any("--mount=type=secret" in step["step"] for step in told)
    for token in TOKENS.values():
        found = subprocess.run(["grep", "-rlF", token, str(layers)], capture_output=True, text=True, check=False)
        assert (found.returncode, found.stdout) == (1, "")
