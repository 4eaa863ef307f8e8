"""A job that goes wrong inside the worker fails alone: no traceback or path leaves, the next job is right."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.jobs import ERROR_LINE, pixels, small
from tests.support.client import Client
from tests.support.worker import WorkerProcess

MIB = 2**20


@contextmanager
def address_space_limit(worker: WorkerProcess, headroom: int) -> Iterator[None]:
    """Let `worker` map at most `headroom` bytes more than it has now."""
    limits = resource.prlimit(worker.pid, resource.RLIMIT_AS)
    status = (Path("/proc") / str(worker.pid) / "status").read_text()
    mapped = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmSize"))
    resource.prlimit(worker.pid, resource.RLIMIT_AS, (mapped + headroom, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(worker.pid, resource.RLIMIT_AS, limits)


@pytest.mark.parametrize("name", ["damaged", "empty", "folder"])
def test_a_broken_lora_file_fails_its_job_only(client: Client, reference: bytes, name: str) -> None:
    record = client.done(small(loras=[{"path": f"{name}.safetensors", "scale": 1}]))
    assert record["status"] == "FAILED"
    assert ERROR_LINE.fullmatch(record["error"]), record["error"]
    assert record["output"]["status"] == 422
    assert record["output"]["detail"][0]["loc"] == ["body", "loras", 0, "path"]
    assert pixels(client.done(small())) == [reference]


def test_a_broken_lora_after_a_good_one_leaves_the_model_unpatched(client: Client, reference: bytes) -> None:
    good = {"path": "strong.safetensors", "scale": 1}
    broken = {"path": "damaged.safetensors", "scale": 1}
    assert client.done(small(loras=[good, broken]))["status"] == "FAILED"
    assert pixels(client.done(small())) == [reference]
    assert pixels(client.done(small(loras=[good]))) != [reference]


@pytest.mark.parametrize("headroom", [32 * MIB, 192 * MIB], ids=["early", "late"])
def test_running_out_of_memory_costs_the_job_and_not_the_worker(
    client: Client, worker: WorkerProcess, reference: bytes, headroom: int
) -> None:
    with address_space_limit(worker, headroom):
        record = client.done(small(1, aspect_ratio="2048x2048"))
    assert record["status"] == "FAILED"
    assert record["error"].startswith("OUT_OF_MEMORY: ")
    assert record["output"]["retryable"] is True
    assert worker.alive()
    assert pixels(client.done(small())) == [reference]
    # A shape and a text of their own need code and memory that the first picture did not.
    fresh = small(1, aspect_ratio=f"{128 + headroom // MIB}x64", prompt=f"a text of {headroom} words")
    assert len(pixels(client.done(fresh))) == 1
