"""Importing the worker needs no GPU and no network, starts nothing, and does not pull in torch or the SDK.

What it starts with does not pull in what libraries would import beside it, and leaves that where others find it.
"""

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


UNUSED = ("paramiko", "torch._dynamo.eval_frame", "accelerate", "scipy")
STARTING = """
import json, sys
from handler import sdk
sdk.prepare_environment()
import handler.start
unused = [name for name in sys.argv[1:] if name in sys.modules]
print(json.dumps({"unused": unused, "cpuinfo": getattr(sys.modules["cpuinfo"], "__file__", None)}))
import torch, transformers
from transformers import CLIPModel
from transformers.models.clip import CLIPTextModel
import torch._dynamo
found = [transformers.models.clip.CLIPModel is CLIPModel, CLIPTextModel is transformers.CLIPTextModel]
doubled = torch.compile(lambda x: x * 2, backend="eager")(torch.ones(1)).item()
print(json.dumps([*found, torch._dynamo.is_compiling(), doubled]))
"""


def test_what_is_not_used_is_not_loaded_and_still_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTING, *UNUSED],
        env=clean_environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    started, afterwards = map(json.loads, done.stdout.splitlines())
    assert started == {"unused": [], "cpuinfo": None}
    assert afterwards == [True, True, False, 2.0]
