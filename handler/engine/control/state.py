"""Tensors of whole files, whatever form a file has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from handler.engine.pickled import load_pickled
from handler.engine.weights import WeightsFile
from schemas.catalogue import by_name

PICKLED = frozenset({".bin", ".pth", ".pt", ".ckpt"})


def read_state(path: Path) -> dict[str, Tensor]:
    """All tensors on the CPU, as stored; groups within groups get names with dots.

    Pickles are read only where they are the catalogue's file, byte for byte. Raises WeightsError.
    """
    if path.suffix in PICKLED:
        known = by_name(f"{path.parent.name}/{path.name}")
        return dict(_flattened("", load_pickled(path, known.sha256 if known else None)))
    with WeightsFile(path) as file:
        return {name: file.read(name) for name, entry in file.entries.items() if entry.dtype.is_floating_point}


def _flattened(prefix: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flattened(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, Tensor):
        yield prefix, value
