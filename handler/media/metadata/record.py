"""What the metadata of one image is made from, and what its names are looked up in when it is read back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from handler.plan.performance import MODES

NONE = "None"
"""How Fooocus spells the absence of a refiner or a LoRA."""


@dataclass(frozen=True, slots=True)
class Record:
    """One image's recipe.

    values: Fooocus's log entries by key, as `prompt`, `negative_prompt`, `styles`, `steps`, `resolution`
    ("(w, h)"), `sampler`, `lora_combined_1` ("name : weight"). positive, negative: the texts that were
    encoded. base_model_hash, refiner_model_hash: first 10 hex digits of the file's sha256. loras: file name,
    weight, hash. created_by: optional author.
    """

    values: Mapping[str, Any]
    positive: Sequence[str]
    negative: Sequence[str]
    base_model_hash: str
    refiner_model_hash: str = ""
    loras: Sequence[tuple[str, float, str]] = ()
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class Installed:
    """Model files (names below their folders) and styles (name: prompt template, negative text) at hand."""

    checkpoints: Sequence[str] = ()
    loras: Sequence[str] = ()
    vaes: Sequence[str] = ()
    styles: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def stem(name: str) -> str:
    """The file name without folders and extension."""
    return PurePosixPath(name).stem


def find(names: Iterable[str], wanted: str) -> str | None:
    """The first of `names` whose stem is `wanted`."""
    return next((name for name in names if stem(name) == wanted), None)


def find_lora(installed: Installed, wanted: str, performance: Any) -> str | None:
    """The LoRA file with that stem, unless it is the one the performance mode brings itself."""
    return None if wanted == _performance_lora(performance) else find(installed.loras, wanted)


def _performance_lora(performance: Any) -> str | None:
    loras = (mode.lora for name, mode in MODES.items() if name == performance)
    return next((stem(lora[0]) for lora in loras if lora), None)
