"""A models folder with the golden set's tiny checkpoint, and the tiny SDXL it loads to.

The tokenizer is one of our own with as many tokens as CLIP's and the same special ones: golden cases bring token ids.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch

from handler.engine.checkpoint import SdxlModel, load
from tests.support.networks import CHECKPOINT, WEIGHTS

VOCABULARY = 49408
CPU = torch.device("cpu")
DEMO = Path(__file__).parents[2] / "builder" / "demo" / "bundle"
DEMO_CHECKPOINT = DEMO / "checkpoints" / "fooocus_worker_demo"


def make_models(folder: Path) -> Path:
    """Fill an empty folder with `checkpoints/tiny_base.safetensors`, its configuration and a tokenizer."""
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / CHECKPOINT.name).symlink_to(CHECKPOINT)
    shutil.copytree(WEIGHTS / "diffusers", folder / "configs" / CHECKPOINT.stem)
    write_tokenizer(folder / "clip" / "tokenizer")
    return folder


def write_tokenizer(folder: Path) -> None:
    """Every byte is a token, with and without the end of a word; the rest of the 49408 is never used."""
    folder.mkdir(parents=True)
    characters = [chr(code) for code in range(33, 127)]
    tokens = ["!", *characters[1:], *(f"{character}</w>" for character in characters)]
    tokens += [f"unused{number}" for number in range(len(tokens), VOCABULARY - 2)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def load_tiny(models: Path) -> SdxlModel:
    """The tiny SDXL in float32 on the CPU, the caller's own."""
    return load(models / "checkpoints" / CHECKPOINT.name, CPU, torch.float32, models / "configs")
