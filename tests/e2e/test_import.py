"""Importing the worker needs no GPU and no network, starts nothing, and does not pull in torch or the SDK."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.worker import clean_environment

PROBE = """
import importlib, json, socket, sys, threading
opened = []
socket.socket.connect = lambda self, address: opened.append(str(address))
importlib.import_module(sys.argv[1])
heavy = [name for name in ("torch", "diffusers", "transformers", "runpod") if name in sys.modules]
print(json.dumps({"heavy": heavy, "opened": opened, "threads": threading.active_count()}))
"""


@pytest.mark.parametrize("module", ["handler.__main__", "handler.job"])
def test_importing_is_light_and_quiet(tmp_path: Path, module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROBE, module],
        env=clean_environment(tmp_path) | {"CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(done.stdout) == {"heavy": [], "opened": [], "threads": 1}
