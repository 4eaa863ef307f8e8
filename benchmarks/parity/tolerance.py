"""How far a result is from the recorded one, as a share of what the set's tolerance classes allow."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.parity.vectors import Case

EXPECTED_JSON = "expected_json"
EXACT_PARTS = ("sigma", "timestep", "progress", "time_ids")
JSON_NUMBER = 1e-9

Rule = Callable[[Tensor, Tensor], float]
"""(result, recorded), both float64 of one shape -> the error as a share of the tolerance; up to 1 is within."""


def error(case: Case, name: str, actual: Any) -> float:
    """The error of a result as a share of the tolerance: up to 1 is within.

    name: of an expected tensor, of an expected PNG file, or EXPECTED_JSON. inf on a wrong shape.
    """
    if name == EXPECTED_JSON:
        return 0.0 if same_json(actual, case.expected_json) else math.inf
    return tensor_error(actual, expected(case, name), rule_for(case, name))


def expected(case: Case, name: str) -> Tensor:
    """The recorded tensor, or the pixels of the recorded PNG file."""
    return case.tensors[name] if name in case.tensors else torch.tensor(case.picture(name).copy())


def tensor_error(actual: Any, expected: Tensor, rule: Rule) -> float:
    """`rule` applied in float64; inf where the shapes differ or the result is not finite.

    Rows recorded as NaN (Fooocus's tcd ends in it where a schedule goes down to timestep 0) only ask for numbers.
    """
    actual = torch.tensor(actual) if not isinstance(actual, Tensor) else actual.detach().cpu()
    actual = actual.double()
    if actual.shape != expected.shape or not actual.isfinite().all():
        return math.inf
    if expected.numel() == 0:
        return 0.0
    expected = expected.double()
    if expected.ndim:
        rows = expected.isfinite().reshape(len(expected), -1).all(dim=1)
        actual, expected = actual[rows], expected[rows]
    share = rule(actual, expected) if expected.numel() else 0.0
    return share if math.isfinite(share) else math.inf


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
    """At most `most` levels apart, but for a share `exceptions` of the values.

    The share of the tolerance is the worst distance by the levels allowed, or the share of the values beyond them by
    the share allowed, whichever rule is met.
    """

    def rule(actual: Tensor, expected: Tensor) -> float:
        gap = (actual - expected).abs()
        beyond = float((gap > most).double().mean())
        if beyond == 0:
            return float(gap.max()) / most if most else 0.0
        return beyond / exceptions if exceptions else math.inf

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
    """The rule for one tensor or picture: its class's, but exact for the scalars of a run and by levels for pictures.

    Raises KeyError for a class the set's index does not describe.
    """
    label = case.tolerance_class
    if label in RULES:
        return RULES[label]
    dtype = expected(case, name).dtype
    if dtype == torch.uint8:
        return PICTURE_RULES.get(label, _levels(0))
    if not dtype.is_floating_point or any(part in name for part in EXACT_PARTS):
        return EXACT
    return of_std(tolerance_classes(case.root)[label]["factor"])


@cache
def tolerance_classes(root: Path) -> dict[str, dict[str, Any]]:
    """The classes of a set, by name, with their rule in words."""
    return json.loads((root / "index.json").read_text("utf-8"))["tolerance_classes"]


def same_json(actual: Any, expected: Any) -> bool:
    """Equal in kind and value, numbers to 1e-9; tuples serve as lists."""
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and actual.keys() == expected.keys()
            and all(same_json(actual[key], expected[key]) for key in expected)
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, (list, tuple)) and len(actual) == len(expected) and all(map(same_json, actual, expected))
        )
    if _is_number(expected) and _is_number(actual):
        return math.isclose(actual, expected, rel_tol=0.0, abs_tol=JSON_NUMBER)
    return type(actual) is type(expected) and actual == expected


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
