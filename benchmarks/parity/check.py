"""Checks every case of a set and collects the outcomes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.parity.areas import AREAS, DEFECTS
from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.outcome import IntendedDiffers, NotCovered, Omitted, Outcome, Share, Status
from benchmarks.parity.tolerance import EXPECTED_JSON, error
from benchmarks.parity.vectors import EXPECTED, Case, indexed_cases


def check_set(root: Path) -> Iterator[Outcome]:
    """The outcome of every case of the set, in its order. Raises ValueError for a set that does not fit its index."""
    found = indexed_cases(root)
    with Networks(root) as networks:
        for case in found:
            yield check_case(case, networks)


def check_case(case: Case, networks: Networks) -> Outcome:
    """Compute and compare one case. Whatever goes wrong on the way is the case's failure."""
    try:
        kind = kind_of(case)
        if kind is None:
            return _outcome(case, Status.UNKNOWN, detail="no kind of case has a record of this structure")
        with torch.no_grad():
            return compare(case, kind.compute(case, networks))
    except NotCovered as reason:
        return _outcome(case, Status.NOT_COVERED, detail=str(reason))
    except IntendedDiffers as reason:
        return _outcome(case, Status.INTENDED_DIFFERS, detail=str(reason))
    except Exception as failure:
        return _outcome(case, Status.FAILED, worst=math.inf, detail=f"{type(failure).__name__}: {failure}")


def kind_of(case: Case) -> Kind | None:
    """The first kind of the case's area that its record fits."""
    for flag in case.flags:
        if flag in DEFECTS and DEFECTS[flag].applies(case):
            raise IntendedDiffers(DEFECTS[flag].reason)
    return next((kind for kind in AREAS.get(case.area, ()) if kind.matches(case)), None)


def compare(case: Case, results: Results) -> Outcome:
    """Every value the case expects against the result of that name; a missing result is a failure."""
    names = [*case.names(EXPECTED), *case.files(EXPECTED)]
    names += [EXPECTED_JSON] if case.expected_json is not None else []
    errors: dict[str, float] = {}
    omitted = []
    for name in names:
        result = results.get(name)
        if isinstance(result, Omitted):
            omitted.append((name, result.reason))
        elif result is None:
            errors[name] = math.inf
        else:
            errors[name] = result.value if isinstance(result, Share) else error(case, name, result)
    if not errors:
        return _outcome(case, Status.FAILED, worst=math.inf, detail="nothing was compared")
    beyond = [f"{name} {share:.3g} times the tolerance" for name, share in errors.items() if not share <= 1.0]
    return Outcome(
        case.id,
        case.area,
        case.tolerance_class,
        Status.FAILED if beyond else Status.CHECKED,
        max(errors.values()),
        len(errors),
        "; ".join(beyond),
        tuple(omitted),
    )


def _outcome(case: Case, status: Status, worst: float = 0.0, detail: str = "") -> Outcome:
    return Outcome(case.id, case.area, case.tolerance_class, status, worst, detail=detail)
