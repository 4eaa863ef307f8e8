"""Workers restored from one snapshot of a warm process draw seeds of their own. Forks stand for the snapshots."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.jobs import small
from tests.support.worker import clean_environment

# A fork has one thread only, so each child gets a GPU thread of its own.
RESTORED = """
import asyncio, json, os, sys
from dataclasses import replace
from handler import sdk
sdk.prepare_environment()
import torch
from handler.gpu import GpuThread
from handler.job import Worker
from handler.settings import Settings
from handler.start import start_worker
from handler.storage.settings import StorageSettings
from schemas.request import TextToImageRequest

warm = start_worker(Settings(), StorageSettings())

def run_job():
    generation = replace(warm.runners[TextToImageRequest].__self__, gpu=GpuThread())
    worker = Worker({TextToImageRequest: generation.run}, warm.max_result_bytes)
    answer = asyncio.run(worker.handle({"id": "restored", "input": json.loads(sys.argv[1])}))
    state = torch.randint(2**60, (1,)).item()
    return {"state": state, "seeds": answer["seeds"], "picture": answer["images"][0]["url"][-100_000:]}

for _ in range(2):
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        with open(writer, "w") as file:
            json.dump(run_job(), file)
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        print("CHILD" + file.read())
    os.waitpid(child, 0)
"""


def restored(home: Path, job: dict[str, Any]) -> list[dict[str, Any]]:
    """What two processes make of the same job that are the same until they get it."""
    done = subprocess.run(
        [sys.executable, "-c", RESTORED, json.dumps(job)],
        env=clean_environment(home), cwd=home, capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    children = [line.removeprefix("CHILD") for line in done.stdout.splitlines() if line.startswith("CHILD")]
    assert len(children) == 2, done.stderr
    return [json.loads(child) for child in children]


def test_each_draws_its_own_seed_from_the_kernel(tmp_path: Path) -> None:
    job = small(1, num_images=2)
    del job["seed"]
    first, second = restored(tmp_path, job)
    assert first["state"] == second["state"], "The two are not copies of one process."
    assert not set(first["seeds"]) & set(second["seeds"])
    assert first["picture"] != second["picture"]


def test_a_seed_that_is_named_gives_both_the_same(tmp_path: Path) -> None:
    first, second = restored(tmp_path, small(1))
    assert (first["seeds"], first["picture"]) == (second["seeds"], second["picture"])
