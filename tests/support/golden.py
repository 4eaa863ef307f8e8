"""The project's own copy of the golden vectors; the mechanism is that of `benchmarks.parity`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.parity import tolerance, vectors
from benchmarks.parity.tolerance import EXACT, Rule, error, of_std, rule_for, tensor_error, within
from benchmarks.parity.vectors import Case, load_weights

__all__ = [
    "EXACT", "GOLDEN", "Case", "Rule", "assert_close", "cases", "error", "load_case", "load_weights", "of_std",
    "rule_for", "tensor_error", "within",
]  # fmt: skip

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


def load_case(case_id: str, root: Path = GOLDEN) -> Case:
    """The case `<area>/<name>`. Raises FileNotFoundError when the set has none of that id."""
    return vectors.load_case(case_id, root)


def cases(area: str, where: Callable[[Case], bool] = lambda case: True, root: Path = GOLDEN) -> list[Case]:
    """The cases of one area that satisfy `where`, sorted by id."""
    return vectors.cases(area, root, where)


def assert_close(case: Case, name: str, actual: Any) -> None:
    """Fails with the size of the error unless `actual` is within the case's tolerance class."""
    share = tolerance.error(case, name, actual)
    assert share <= 1.0, f"{case.id} {name}: {share:.3g} times the tolerance {case.tolerance_class!r}"
