"""State dicts that exist as pickles only: read when they are a file of the catalogue, byte for byte."""

from __future__ import annotations

import hashlib
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from handler.engine.weights import WeightsError
from schemas.catalogue import by_name


def read_catalogued(path: Path, catalogue_path: str) -> dict[str, Tensor]:
    """The tensors of a `.pth` or `.bin`, those one level down where the file wraps its state dict.

    catalogue_path: the file's path below the models folder. Raises WeightsError when the catalogue knows another hash
    or none, or the file holds no tensors.
    """
    known = by_name(catalogue_path)
    return read_pickled(path, known.sha256 if known else None)


def read_pickled(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """As `read_catalogued`, for a hash given here."""
    return _tensors(load_pickled(path, sha256), path.name)


def load_pickled(path: Path, sha256: str | None) -> object:
    """What a file of this hash holds. Raises WeightsError when it has another hash, or holds more than plain data."""
    try:
        with path.open("rb") as file:
            if sha256 is None or hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise WeightsError(f"{path.name} is not the file of the catalogue")
        return torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except (OSError, RuntimeError, UnpicklingError, EOFError) as error:
        raise WeightsError(f"{path.name} cannot be read") from error


def _tensors(stored: object, name: str) -> dict[str, Tensor]:
    levels = [stored, *stored.values()] if isinstance(stored, dict) else []
    for level in levels:
        if isinstance(level, dict) and level and all(isinstance(value, Tensor) for value in level.values()):
            return level
    raise WeightsError(f"{name} holds no weights")
