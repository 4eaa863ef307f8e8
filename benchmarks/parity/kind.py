"""A kind of case: how its record is recognised, and how this worker computes what it expects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.parity.networks import Networks
from benchmarks.parity.vectors import Case

Results = Mapping[str, Any]
"""For each expected tensor, file or `expected_json` of a case: the worker's value, a `Share`, or `Omitted`."""


@dataclass(frozen=True)
class Kind:
    """matches: looks at the record's structure only. compute: may raise NotCovered or IntendedDiffers."""

    matches: Callable[[Case], bool]
    compute: Callable[[Case, Networks], Results]


def has_rows_of(case: Case, *keys: str) -> bool:
    """Whether the expected JSON is a list of objects that all have these keys."""
    rows = case.expected_json
    if not isinstance(rows, list) or not rows:
        return False
    return all(isinstance(row, dict) and row.keys() >= {*keys} for row in rows)
