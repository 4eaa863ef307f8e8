"""LoRA files: read, grouped by layer, and remembered while they are in use."""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from handler.engine.weights import WeightsError, WeightsFile, reported_at
from schemas.errors import Location

ROLES = {
    ".lora_up.weight": "up", ".lora_down.weight": "down", ".lora_mid.weight": "mid",
    ".lora.up.weight": "up", ".lora.down.weight": "down",
    "_lora.up.weight": "up", "_lora.down.weight": "down",
    ".lora_linear_layer.up.weight": "up", ".lora_linear_layer.down.weight": "down",
    ".lora_B.weight": "up", ".lora_A.weight": "down",
    ".lora_B.default.weight": "up", ".lora_A.default.weight": "down",
    ".a1.weight": "a1", ".a2.weight": "a2", ".b1.weight": "b1", ".b2.weight": "b2",
    ".diff": "diff", ".diff_b": "diff_b", ".w_norm": "diff", ".b_norm": "diff_b",
    ".alpha": "alpha",
} | {
    f".{name}": name
    for name in (
        "hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2",
        "lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2",
    )
}  # fmt: skip
"""How a tensor's name ends -> what it is of its layer."""

MEMORY = 2 * 2**30
"""Bytes of parsed files kept; the file in use is kept whatever its size."""


@dataclass(frozen=True)
class LoraFile:
    """layers: name of a layer in the file -> role -> tensor as stored. strangers: tensors of no known role."""

    name: str
    layers: dict[str, dict[str, Tensor]]
    strangers: int

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for parts in self.layers.values() for tensor in parts.values())


FileKey = tuple[str, int, int]
"""Path, time of change and size: what tells one version of a file from another."""


def file_key(path: Path) -> FileKey:
    """Raises WeightsError when there is no such file."""
    try:
        stat = path.stat()
    except OSError as error:
        raise WeightsError(f"{path.name} cannot be opened") from error
    return str(path), stat.st_mtime_ns, stat.st_size


def read(path: Path) -> LoraFile:
    """The whole file, on the CPU. Raises WeightsError when it is damaged or no LoRA."""
    layers: dict[str, dict[str, Tensor]] = defaultdict(dict)
    strangers = 0
    with WeightsFile(path) as file:
        _check(file)
        for name in sorted(file.entries, key=lambda name: file.entries[name].begin):
            layer, role = _place(name)
            if role is None:
                strangers += 1
            else:
                layers[layer][role] = _sound(file.read(name), role, file.name)
    return LoraFile(path.name, dict(layers), strangers)


def verify(path: Path, loc: Location) -> None:
    """Read a file once to see that it is sound. Raises ModelLoadError at `loc` when it is damaged or no LoRA."""
    with reported_at(loc):
        read(path)


def _check(file: WeightsFile) -> None:
    if not any(_place(name)[1] not in (None, "alpha") for name in file.entries):
        raise WeightsError(f"{file.name} is not a LoRA")


def _place(name: str) -> tuple[str, str | None]:
    """The layer's name and the tensor's role; no role for a tensor of a kind not known here."""
    for ending, role in ROLES.items():
        if name.endswith(ending):
            return name[: -len(ending)], role
    return name, None


def _sound(tensor: Tensor, role: str, name: str) -> Tensor:
    if role == "alpha" and tensor.numel() != 1:
        raise WeightsError(f"{name} has an alpha that is no number")
    if not math.isfinite(tensor.sum(dtype=torch.float32).item()):
        raise WeightsError(f"{name} holds values that are no numbers")
    return tensor


class LoraFiles:
    """Parsed files, the least recently used forgotten first."""

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._files: OrderedDict[FileKey, LoraFile] = OrderedDict()

    def get(self, path: Path) -> LoraFile:
        """Raises WeightsError as `read` does."""
        key = file_key(path)
        if key not in self._files:
            self._files[key] = read(path)
        self._files.move_to_end(key)
        while len(self._files) > 1 and _total(self._files.values()) > self._memory:
            self._files.popitem(last=False)
        return self._files[key]


def _total(files: Iterable[LoraFile]) -> int:
    return sum(file.bytes for file in files)
