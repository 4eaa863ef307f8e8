"""Golden vectors: load a case, compare a result with the tolerance the case names.

A set is a folder with `index.json` (the tolerance classes) and cases `<area>/<case>/case.json`, each with an
optional `case.safetensors` beside it. Nothing here knows a case by its name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
BUG = "bug:"
EXACT_PARTS = ("sigma", "timestep", "progress", "time_ids")


@dataclass(frozen=True)
class Case:
    """One golden case. `folder` holds case.json, case.safetensors and any files it lists."""

    root: Path
    folder: Path

    @property
    def id(self) -> str:
        return self.folder.relative_to(self.root).as_posix()

    @cached_property
    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "case.json").read_text())

    @property
    def parameters(self) -> dict[str, Any]:
        return self.record["parameters"]

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(self.record.get("flags", ()))

    @property
    def is_bug(self) -> bool:
        """True where the case records a defect of the original as it is."""
        return any(flag.startswith(BUG) for flag in self.flags)

    @property
    def expected_json(self) -> Any:
        return self.record["expected_json"]

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors; narrow floats widened to float32, integers and booleans as stored."""
        stored = load_file(self.folder / "case.safetensors")
        return {name: _widen(value) for name, value in stored.items()}

    def names(self, role: str) -> list[str]:
        """Names of the tensors of one role: input, expected or info."""
        return [name for name, spec in self.record["tensors"].items() if spec["role"] == role]


def load_case(case_id: str, root: Path = GOLDEN) -> Case:
    """The case `<area>/<name>`. Raises FileNotFoundError when the set has none of that id."""
    case = Case(root, root / case_id)
    if not (case.folder / "case.json").is_file():
        raise FileNotFoundError(case.folder)
    return case


def cases(area: str, where: Callable[[Case], bool] = lambda case: True, root: Path = GOLDEN) -> list[Case]:
    """The cases of one area that satisfy `where`, sorted by id."""
    found = (Case(root, path.parent) for path in sorted((root / area).glob("*/case.json")))
    return [case for case in found if where(case)]


def load_weights(path: Path) -> dict[str, Tensor]:
    """A safetensors file with its narrow floats widened to float32."""
    return {name: _widen(value) for name, value in load_file(path).items()}


def error(case: Case, name: str, actual: Any) -> float:
    """How far `actual` is from the expected tensor, as a share of the tolerance: up to 1 is within.

    name: the expected tensor's name, or "expected_json" for the JSON result. inf on a wrong shape.
    """
    if name == "expected_json":
        return 0.0 if _same_json(actual, case.expected_json) else math.inf
    return tensor_error(actual, case.tensors[name], rule_for(case, name))


def assert_close(case: Case, name: str, actual: Any) -> None:
    """Fails with the size of the error unless `actual` is within the case's tolerance class."""
    share = error(case, name, actual)
    label = case.record["tolerance_class"]
    assert share <= 1.0, f"{case.id} {name}: {share:.3g} times the tolerance {label!r}"


def tensor_error(actual: Any, expected: Tensor, rule: Rule) -> float:
    """`rule` applied in float64; inf where the shapes differ or the result is not finite."""
    actual = torch.as_tensor(actual).detach().cpu()
    if actual.shape != expected.shape:
        return math.inf
    if expected.numel() == 0:
        return 0.0
    share = rule(actual.double(), expected.double())
    return share if math.isfinite(share) else math.inf


Rule = Callable[[Tensor, Tensor], float]


def _widen(value: Tensor) -> Tensor:
    narrow = value.is_floating_point() and value.dtype != torch.float64
    return value.float() if narrow else value


def within(absolute: float, relative: float) -> Rule:
    """Every value within a distance that grows with the expected one."""
    return lambda a, e: float(((a - e).abs() / (absolute + relative * e.abs())).max())


def _floored(share: float) -> Rule:
    return lambda a, e: float(((a - e).abs() / (share * e.abs().clamp(min=1.0))).max())


def of_std(factor: float) -> Rule:
    """The worst value within a share of the expected tensor's spread."""
    def rule(actual: Tensor, expected: Tensor) -> float:
        worst = float((actual - expected).abs().max())
        return worst / (factor * float(expected.std(correction=0))) if worst else 0.0

    return rule


def _levels(most: int, exceptions: float = 0.0) -> Rule:
    """At most `most` levels apart, but for a share `exceptions` of the values."""

    def rule(actual: Tensor, expected: Tensor) -> float:
        gap = (actual - expected).abs()
        if float((gap > most).double().mean()) <= exceptions:
            return 0.0
        return float(gap.max()) / max(most, 1) + (1.0 if most == 0 else 0.0)

    return rule


def _mean_levels(most: float) -> Rule:
    return lambda a, e: float((a - e).abs().mean()) / most


EXACT = within(1e-6, 1e-5)
RULES: dict[str, Rule] = {
    "exact_float": EXACT,
    "elementwise": _floored(2e-5),
    "uint8_0": _levels(0),
    "uint8_1": _levels(1),
    "uint8_2": _levels(2),
    "uint8_1_mostly": _levels(0, exceptions=0.005),
    "uint8_pillow": _mean_levels(2.0),
}
PICTURE_RULES: dict[str, Rule] = {"vae": _levels(1), "e2e": _levels(2, exceptions=0.001)}


def rule_for(case: Case, name: str) -> Rule:
    """The rule for one tensor: its class's, but exact for the scalars of a run and by levels for pictures."""
    label = case.record["tolerance_class"]
    if label in RULES:
        return RULES[label]
    dtype = case.tensors[name].dtype
    if dtype == torch.uint8:
        return PICTURE_RULES.get(label, _levels(0))
    if dtype == torch.bool or any(part in name for part in EXACT_PARTS):
        return EXACT
    classes = json.loads((case.root / "index.json").read_text())["tolerance_classes"]
    return of_std(classes[label]["factor"])


def _same_json(actual: Any, expected: Any) -> bool:
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and actual.keys() == expected.keys()
            and all(_same_json(actual[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, (list, tuple))
            and len(actual) == len(expected)
            and all(map(_same_json, actual, expected))
        )
    if _is_number(expected) and _is_number(actual):
        return math.isclose(actual, expected, rel_tol=0.0, abs_tol=1e-9)
    return type(actual) is type(expected) and actual == expected


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
