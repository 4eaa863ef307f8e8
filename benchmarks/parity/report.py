"""Outcomes as a table: one row per group, then what failed, differs or is not covered, by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.parity.outcome import Outcome, Status

COMPARED = (Status.CHECKED, Status.FAILED)
GOOD = (Status.CHECKED, Status.INTENDED_DIFFERS)

HEAD = ("group", "vectors", "checked", "worst error / tolerance", "failed", "differs", "not covered", "tolerance")


@dataclass(frozen=True)
class Row:
    """One group. worst: the largest error of its checked cases, as a share of the tolerance of that case."""

    group: str
    vectors: int
    statuses: Counter[Status]
    worst: float
    tolerance_classes: tuple[str, ...]


def passed(outcomes: Iterable[Outcome]) -> bool:
    """Whether all is well, and something of every group was compared."""
    every = list(outcomes)
    compared = {outcome.area for outcome in every if outcome.status is Status.CHECKED}
    well = all(outcome.area in compared and outcome.status in GOOD for outcome in every)
    return bool(every) and well


def rows(outcomes: Iterable[Outcome]) -> list[Row]:
    """One row per area, in the order the areas come in."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.area].append(outcome)
    return [_row(group, members) for group, members in groups.items()]


def _row(group: str, members: Sequence[Outcome]) -> Row:
    return Row(
        group,
        len(members),
        Counter(member.status for member in members),
        max(member.worst for member in members),
        tuple(sorted({member.tolerance_class for member in members if member.status in COMPARED})),
    )


def text(outcomes: Sequence[Outcome]) -> str:
    """The report for a terminal."""
    table = [HEAD]
    for row in rows(outcomes):
        counts = row.statuses
        table.append(
            (
                row.group,
                str(row.vectors),
                str(counts[Status.CHECKED]),
                f"{row.worst:.2g}" if counts[Status.CHECKED] or counts[Status.FAILED] else "-",
                str(counts[Status.FAILED] + counts[Status.UNKNOWN]),
                str(counts[Status.INTENDED_DIFFERS]),
                str(counts[Status.NOT_COVERED]),
                ", ".join(row.tolerance_classes) or "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    return "\n".join([*lines, *_remarks(outcomes), _verdict(outcomes)])


def _remarks(outcomes: Sequence[Outcome]) -> list[str]:
    lines = []
    for status in (Status.FAILED, Status.UNKNOWN, Status.INTENDED_DIFFERS, Status.NOT_COVERED):
        found = [outcome for outcome in outcomes if outcome.status is status]
        if found:
            lines += ["", f"{status}:", *_by_reason(found)]
    reasons = omissions(outcomes)
    if reasons:
        lines += ["", "values left out:", *(f"  {count} x {reason}" for reason, count in sorted(reasons.items()))]
    return lines


def _by_reason(outcomes: Iterable[Outcome]) -> list[str]:
    """Cases with the same to say share a line."""
    names: dict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        names[outcome.detail].append(outcome.id)
    return [f"  {detail}: {', '.join(ids)}" for detail, ids in names.items()]


def omissions(outcomes: Iterable[Outcome]) -> Counter[str]:
    """Why expected values of checked cases were left out, with how many there were."""
    return Counter(reason for outcome in outcomes for _, reason in outcome.omitted)


def _verdict(outcomes: Sequence[Outcome]) -> str:
    counts = Counter(outcome.status for outcome in outcomes)
    total = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
    return f"\n{len(outcomes)} vectors: {total}"
