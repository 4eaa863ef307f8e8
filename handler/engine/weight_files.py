"""Which files of a diffusers folder hold the weights. Needs no torch: they are read ahead before torch is there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

NETWORKS = ("unet", "vae", "text_encoder", "text_encoder_2")
"""A checkpoint's, in the order they are read in."""

FOLDER_STEMS = ("diffusion_pytorch_model", "model")


class WeightsError(ValueError):
    """A file of weights is damaged, hostile or of another kind; the message may be shown to the user."""


def folder_files(path: Path, components: Iterable[str]) -> list[Path]:
    """The files of weights that a diffusers folder's networks are read from. Raises WeightsError."""
    return [file for name in components for file in weight_files(path / name)]


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of one network: whole, in shards, or the fp16 variant."""
    for stem in FOLDER_STEMS:
        index = folder / f"{stem}.safetensors.index.json"
        for whole in (folder / f"{stem}.safetensors", folder / f"{stem}.fp16.safetensors"):
            if whole.is_file():
                return [whole]
        if index.is_file():
            return _shards(index)
    raise WeightsError(f"{folder.parent.name} has no safetensors file for {folder.name}")


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{index.name} is damaged") from error
    if any(not isinstance(name, str) or Path(name).name != name for name in names):
        raise WeightsError(f"{index.name} names a file outside its folder")
    return [index.parent / name for name in names]
