"""Fitness checks: missing or cut-off weights, a device that is not there, a bucket that refuses; each with words."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from handler import fitness
from handler.engine.checkpoint import check_files
from handler.engine.device import check_usable
from handler.engine.engine import Engine
from handler.engine.engines import Engines
from handler.settings import Settings
from handler.start import DEMO_CHECKPOINT, first_engine
from handler.storage.settings import StorageSettings
from schemas.errors import DeviceLost, FooocusError, ModelMissing, OutOfMemory, StorageUnavailable
from tests.support.s3 import Bucket

pytest_plugins = ("tests.support.s3",)


def test_a_good_worker_passes(tmp_path: Path) -> None:
    for check in fitness.local_checks(Settings(models_dir=tmp_path, volume_dir=tmp_path, device="cpu"), {}):
        check()
    fitness.storage_check(StorageSettings())()


def test_missing_weights_are_named(tmp_path: Path) -> None:
    settings = Settings(checkpoint="absent.safetensors", models_dir=tmp_path, volume_dir=tmp_path)
    weights, _ = fitness.local_checks(settings, {})
    with pytest.raises(ModelMissing, match=r"absent\.safetensors was not found"):
        weights()


@pytest.mark.parametrize("component", ["unet", "text_encoder_2"])
def test_a_file_that_was_cut_off_is_named_with_its_sizes(tmp_path: Path, component: str) -> None:
    """As a broken copy or a full disk leaves it."""
    folder = tmp_path / "checkpoints" / "demo"
    shutil.copytree(DEMO_CHECKPOINT, folder)
    settings = Settings(checkpoint="demo", models_dir=tmp_path, volume_dir=tmp_path, device="cpu")
    weights, _ = fitness.local_checks(settings, {})
    weights()
    (file,) = (folder / component).glob("*.safetensors")
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.truncate(size - 1)
    with pytest.raises(ModelMissing, match=f"{file.name} is cut off: {size - 1} of {size} bytes"):
        weights()
    file.unlink()
    with pytest.raises(ModelMissing, match=f"no safetensors file for {component}"):
        weights()


def test_a_single_file_is_checked_too(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    file.write_bytes(b"12345")
    with pytest.raises(ModelMissing, match=r"x\.safetensors is not a complete safetensors file"):
        check_files(file)


def test_a_gpu_that_was_promised_and_is_not_there() -> None:
    check_usable("cpu", promised="1")
    check_usable("auto", promised="0")
    with pytest.raises(ValueError, match="not present"):
        check_usable("cuda:99")


def test_a_driver_torch_cannot_use_is_no_reason_to_render_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DeviceLost, match=r"promises 1 GPU.*driver"):
        check_usable("auto", promised="1")


def test_a_bucket_that_refuses_says_so(new_bucket: Callable[[], Bucket]) -> None:
    bucket = new_bucket()

    def settings(secret: str) -> StorageSettings:
        return StorageSettings(
            bucket_endpoint_url=bucket.server.endpoint,
            bucket_access_key_id=bucket.server.access_key,
            bucket_secret_access_key=secret,
            bucket_name=bucket.name,
        )

    fitness.storage_check(settings(bucket.server.secret))()
    with pytest.raises(StorageUnavailable, match=f"bucket {bucket.name} at .* refuses these credentials"):
        fitness.storage_check(settings("wrong"))()


def test_an_error_of_the_start_is_told_word_for_word() -> None:
    check = fitness.unfit(FooocusError("the words"))
    for arguments in ((), ({"id": "1"},)):
        with pytest.raises(FooocusError, match="the words"):
            check(*arguments)
    assert check.__name__ == "worker_starts"


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB"), OutOfMemory),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), DeviceLost),
    ],
)
def test_a_device_that_fails_while_the_first_model_loads(failure: Exception, told: type[FooocusError]) -> None:
    def load(_checkpoint: Path) -> Engine:
        raise failure

    with pytest.raises(told):
        first_engine(Engines(load), DEMO_CHECKPOINT, warm_up=True)
