"""A lost device asks the platform for a new worker (`stopPod`); running out of memory does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from handler.engine.failures import classify
from handler.job import failure
from schemas.errors import DeviceLost, FooocusError, InternalError, OutOfMemory
from tests.support.client import Client
from tests.support.platform import Platform, serving
from tests.support.worker import WorkerProcess, running

ALWAYS_LOST = """
from handler import sdk
sdk.prepare_environment()
import runpod
from handler.job import failure
from schemas.errors import DeviceLost

async def handler(job):
    return failure(DeviceLost())

sdk.report_refused_results()
runpod.serverless.start({"handler": handler})
"""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), OutOfMemory),
        (MemoryError(), OutOfMemory),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), DeviceLost),
        (torch.AcceleratorError("CUDA error: unspecified launch failure"), DeviceLost),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceLost),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), DeviceLost),
        (RuntimeError("CUDA error: device-side assert triggered"), DeviceLost),
        (torch.AcceleratorError("CUDA error: out of memory"), OutOfMemory),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), OutOfMemory),
    ],
    ids=str,
)
def test_torchs_exceptions_mean_what_they_say(error: Exception, kind: type[FooocusError]) -> None:
    assert type(classify(error)) is kind


def test_a_failed_allocation_on_the_cpu_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**46, dtype=torch.float64)
    assert type(classify(caught.value)) is OutOfMemory


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("x"), KeyError("y")], ids=repr)
def test_other_exceptions_are_not_the_devices(error: Exception) -> None:
    assert classify(error) is None


@pytest.mark.parametrize(
    ("error", "refresh"), [(DeviceLost(), True), (OutOfMemory(), None), (InternalError(), None)], ids=repr
)
def test_only_a_lost_device_asks_for_a_new_worker(error: FooocusError, refresh: bool | None) -> None:
    assert failure(error).get("refresh_worker") is refresh


def test_the_platform_is_told_to_stop_the_worker(tmp_path: Path) -> None:
    with (
        serving(Platform()) as platform,
        running(WorkerProcess(platform, tmp_path, "lost", ("-u", "-c", ALWAYS_LOST))),
    ):
        record = Client(platform).done({})
        assert record["status"] == "FAILED"
        assert record["error"].startswith("DEVICE_LOST: ")
        assert platform.jobs.by_id[record["id"]].stop_pod
        assert "refresh_worker" not in record["output"]
