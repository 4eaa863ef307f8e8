"""A control model that is missing or damaged: the job is told which, and how to get it or at which field."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handler.engine.engine import Engine
from handler.job import Worker
from handler.start import DEMO_CHECKPOINT
from tests.handler.test_editing import uri
from tests.support.requests import picture

CPDS = "fooocus_xl_cpds_128.safetensors"
SMALL = {"aspect_ratio": "64x64", "styles": [], "loras": [], "seed": 3, "performance": "Lightning"}


@pytest.fixture
def answer(make_worker: Callable[..., Worker], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Runs a job with CPDS pictures in these slots. The models folder is `tmp_path / "models"`."""
    engine = Engine.load(DEMO_CHECKPOINT, (tmp_path / "models",), "cpu", check_safety=False)
    worker = make_worker(render=engine.render)
    slot = {"type": "CPDS", "image_url": uri(picture(64, 64))}

    def run(*slots: str) -> dict[str, Any]:
        body = {**SMALL, "endpoint": "image-prompt", "image_prompt_1": {}, **dict.fromkeys(slots, slot)}
        return asyncio.run(worker.handle({"id": "job", "input": body}))

    return run


def test_a_missing_one(answer: Callable[..., dict[str, Any]]) -> None:
    error = answer("image_prompt_1")["error"]
    assert error.startswith("MODEL_MISSING: ")
    assert f"python -m builder fetch {CPDS}" in error


def test_a_damaged_one(answer: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "models" / "controlnet").mkdir(parents=True)
    (tmp_path / "models" / "controlnet" / CPDS).write_bytes(b"\xff" * 4096)
    found = answer("image_prompt_2")
    assert found["detail"][0]["loc"] == ["body", "image_prompt_2", "image_url"]
    assert (found["status"], found["error_type"]) == (422, "model_load_error")
