"""A models folder with the golden set's tiny checkpoint, and the tiny SDXL it loads to.

The tokenizer is a placeholder with as many tokens as CLIP's and the same special ones: golden cases bring token ids.
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.parity.networks import write_models
from benchmarks.parity.tokenizer import write_placeholder
from handler.engine.checkpoint import SdxlModel, load
from tests.support.golden import GOLDEN
from tests.support.networks import CHECKPOINT

CPU = torch.device("cpu")
DEMO = Path(__file__).parents[2] / "builder" / "demo" / "bundle"
DEMO_CHECKPOINT = DEMO / "checkpoints" / "fooocus_worker_demo"

write_tokenizer = write_placeholder


def make_models(folder: Path) -> Path:
    """Fill an empty folder with `checkpoints/tiny_base.safetensors`, its configuration and a tokenizer."""
    return write_models(folder, GOLDEN)


def load_tiny(models: Path) -> SdxlModel:
    """The tiny SDXL in float32 on the CPU, the caller's own."""
    return load(models / "checkpoints" / CHECKPOINT.name, CPU, torch.float32, models / "configs")
