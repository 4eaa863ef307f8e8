"""Tensors of whole files, whatever form a file has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from handler.engine.weights import WeightsError, WeightsFile
from schemas.catalogue import by_name

PICKLED = frozenset({".bin", ".pth", ".pt", ".ckpt"})


def read_state(path: Path) -> dict[str, Tensor]:
    """All tensors on the CPU, as stored; groups within groups get names with dots.

    Pickles are read only where they are the catalogue's file, byte for byte. Raises WeightsError.
    """
    if path.suffix in PICKLED:
        return dict(_flattened("", _unpickled(path)))
    with WeightsFile(path) as file:
        return {name: file.read(name) for name, entry in file.entries.items() if entry.dtype.is_floating_point}


def _unpickled(path: Path) -> Any:
    known = by_name(f"{path.parent.name}/{path.name}")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if known is None or digest != known.sha256:
            raise WeightsError(f"{path.name} is not the file of the catalogue; other files must be safetensors")
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise WeightsError(f"{path.name} cannot be read") from error


def _flattened(prefix: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flattened(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, Tensor):
        yield prefix, value
