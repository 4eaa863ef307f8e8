"""A set of vectors on disk: its cases, their tensors and their files."""

from __future__ import annotations

import atexit
import json
import lzma
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

INPUT, EXPECTED = "input", "expected"


@dataclass(frozen=True)
class Case:
    """One case of the set in `root`. `folder` holds case.json, case.safetensors and the files it lists."""

    root: Path
    folder: Path

    @property
    def id(self) -> str:
        return self.folder.relative_to(self.root).as_posix()

    @property
    def area(self) -> str:
        return self.folder.parent.name

    @cached_property
    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "case.json").read_text("utf-8"))

    @property
    def parameters(self) -> dict[str, Any]:
        return self.record["parameters"]

    @property
    def tolerance_class(self) -> str:
        return self.record["tolerance_class"]

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(self.record.get("flags", ()))

    @property
    def expected_json(self) -> Any:
        """None where the expected results are tensors and files only."""
        return self.record.get("expected_json")

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors; narrow floats widened to float32, integers and booleans as stored."""
        path = self.folder / "case.safetensors"
        return load_weights(path) if path.is_file() else {}

    def names(self, role: str) -> list[str]:
        """Names of the tensors of one role: input, expected or info."""
        return [name for name, spec in self.record.get("tensors", {}).items() if spec["role"] == role]

    def files(self, role: str) -> list[str]:
        """Names of the files of one role, relative to the folder."""
        return [name for name, spec in (self.record.get("files") or {}).items() if spec["role"] == role]

    def has(self, role: str, *names: str) -> bool:
        """Whether these tensors or files are there in this role."""
        return set(names) <= {*self.names(role), *self.files(role)}

    def picture(self, name: str) -> np.ndarray:
        """A file's pixels as stored: uint8 [h, w] or [h, w, channels]."""
        with Image.open(self.folder / name) as image:
            return np.asarray(image)


def load_case(case_id: str, root: Path) -> Case:
    """The case `<area>/<name>`. Raises FileNotFoundError when the set has none of that id."""
    case = Case(root, root / case_id)
    if not (case.folder / "case.json").is_file():
        raise FileNotFoundError(case.folder)
    return case


def cases(area: str, root: Path, where: Callable[[Case], bool] = lambda case: True) -> list[Case]:
    """The cases of one area on disk that satisfy `where`, sorted by id."""
    found = (Case(root, path.parent) for path in sorted((root / area).glob("*/case.json")))
    return [case for case in found if where(case)]


def indexed_cases(root: Path) -> list[Case]:
    """The cases `index.json` lists, in its order.

    Raises ValueError when there are none, or the folder holds others or lacks some.
    """
    listed = [entry["path"] for entry in json.loads((root / "index.json").read_text("utf-8"))["cases"]]
    if not listed:
        raise ValueError("index.json lists no vectors")
    present = {path.parent.relative_to(root).as_posix() for path in root.glob("*/*/case.json")}
    if present != set(listed):
        raise ValueError(f"index.json and the folder differ in: {', '.join(sorted(present ^ set(listed)))}")
    return [load_case(path, root) for path in listed]


def load_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file with its narrow floats widened to float32."""
    return {name: _widen(value) for name, value in load_file(path).items()}


@cache
def unpacked(path: Path) -> Path:
    """The file, or where the set keeps it compressed as `<name>.xz`, a copy that lasts as long as this process."""
    if path.is_file():
        return path
    folder = Path(tempfile.mkdtemp(prefix="vectors-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = folder / path.name
    target.write_bytes(lzma.decompress(path.with_name(f"{path.name}.xz").read_bytes()))
    return target


def _widen(value: Tensor) -> Tensor:
    narrow = value.is_floating_point() and value.dtype != torch.float64
    return value.float() if narrow else value
