"""What checking one case comes to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    CHECKED = "checked"
    FAILED = "failed"
    INTENDED_DIFFERS = "intended differs"
    NOT_COVERED = "not covered"
    UNKNOWN = "unknown"


class NotCovered(Exception):
    """This case cannot be computed here; the message says why."""


class IntendedDiffers(Exception):
    """This case records a defect that is not copied; the message says which."""


@dataclass(frozen=True)
class Share:
    """A comparison a check made itself: the error as a share of the tolerance."""

    value: float


@dataclass(frozen=True)
class Omitted:
    """An expected value this worker has no counterpart of; the reason says why."""

    reason: str


@dataclass(frozen=True)
class Outcome:
    """worst: largest error of the case as a share of its tolerance. compared: how many expected values were.

    detail: why it failed, is not covered, or differs. omitted: reasons for expected values left out, by name.
    """

    id: str
    area: str
    tolerance_class: str
    status: Status
    worst: float = 0.0
    compared: int = 0
    detail: str = ""
    omitted: tuple[tuple[str, str], ...] = ()
