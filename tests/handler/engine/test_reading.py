"""Weights come by large reads, each byte once, and no file stays mapped: a page fault reads 4 KiB and waits for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from handler.engine.checkpoint import load
from handler.engine.weight_files import NETWORKS, folder_files
from handler.engine.weights import WeightsFile
from tests.support.models import CPU, DEMO_CHECKPOINT
from tests.support.networks import CHECKPOINT

SELF = Path("/proc/self")
OTHERS = 8_000_000
"""Bytes at most of tokenizers and configurations."""


def reads() -> tuple[int, int]:
    """(bytes asked for by read calls, number of such calls) of this process until now."""
    rows = dict(line.split(": ") for line in (SELF / "io").read_text().splitlines())
    return int(rows["rchar"]), int(rows["syscr"])


def tensors(file: Path) -> int:
    with WeightsFile(file) as opened:
        return len(opened.entries)


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_every_byte_is_read_once_in_large_pieces(kind: str, tiny_models: Path) -> None:
    path = DEMO_CHECKPOINT if kind == "folder" else tiny_models / "checkpoints" / CHECKPOINT.name
    files = folder_files(path, NETWORKS) if path.is_dir() else [path]
    size, count = sum(file.stat().st_size for file in files), sum(map(tensors, files))
    bytes_before, calls_before = reads()
    model = load(path, CPU, torch.float32, tiny_models / "configs")
    bytes_after, calls_after = reads()
    assert size * 0.99 < bytes_after - bytes_before < size + OTHERS
    assert calls_after - calls_before < 2 * count + 500
    mapped = (SELF / "maps").read_text()
    assert model.unet.device == CPU
    assert [file.name for file in files if str(file) in mapped] == []
