"""Before its first take a worker has rendered a picture, and has its weights read, not mapped from their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from handler.engine.weight_files import NETWORKS, folder_files
from handler.models_folders import DEMO_CHECKPOINT
from tests.support.worker import WorkerProcess

WARM = "A picture was rendered to warm up"
LOOP = "Running 3 fitness check(s)"
"""The first words of the SDK's loop, which takes jobs."""


def test_the_warm_up_precedes_the_first_take(start: Callable[..., WorkerProcess]) -> None:
    worker = start()
    assert 0 < worker.log().find(WARM) < worker.log().find(LOOP)
    mapped = (Path("/proc") / str(worker.pid) / "maps").read_text()
    assert "libtorch" in mapped
    assert [file for file in folder_files(DEMO_CHECKPOINT, NETWORKS) if str(file) in mapped] == []


def test_it_can_be_done_without(start: Callable[..., WorkerProcess]) -> None:
    worker = start(environment={"FOOOCUS_WARM_UP": "false"})
    assert WARM not in worker.log()
