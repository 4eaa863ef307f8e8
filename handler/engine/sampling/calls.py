"""Which pictures' sides share a network call, and what each call is told; worked out once per run."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from handler.engine.types import Conditioning

# Repeating all tokens of a row leaves its attention as it was, so rows of unequal length can share a call.
LONGEST_REPEAT = 4
LATENT_PIXELS = 8
SIZE_STEP = 64

GOOD_SCORE, BAD_SCORE = 6.0, 2.5

SizeIds = tuple[float, ...]


@dataclass(frozen=True)
class Side:
    """All pictures' conditionings of one sign, and what the network is told about the picture it shall make.

    emphasis: the factor on the size, at first. aesthetic: the score, for networks that know one.
    """

    conditionings: Sequence[Conditioning]
    emphasis: float
    aesthetic: float = GOOD_SCORE


DescribeSize = Callable[[int, int, Side], tuple[SizeIds, SizeIds]]
"""(height, width in pixels; a side) -> the size ids its rows are told while sizes are emphasised, and after."""


@dataclass(frozen=True)
class Call:
    """What one call tells its rows. rows: their places among all rows, on the device; the rest as NetworkInput."""

    rows: Tensor
    sides: tuple[int, ...]
    context: Tensor
    pooled: Tensor
    emphasised_ids: Tensor
    consistent_ids: Tensor


def emphasised_size(height: int, width: int, factor: float) -> SizeIds:
    """SDXL's size ids for a picture that claims to come from one `factor` times as large. Sides in pixels."""
    return int(height * factor), int(width * factor), 0, 0, *_rounded(height, width)


def consistent_size(height: int, width: int) -> SizeIds:
    """SDXL's size ids for a picture that is what it seems. Sides in pixels."""
    return *_rounded(height, width), 0, 0, *_rounded(height, width)


def sdxl_ids(height: int, width: int, side: Side) -> tuple[SizeIds, SizeIds]:
    """What SDXL is told."""
    return emphasised_size(height, width, side.emphasis), consistent_size(height, width)


def plan_calls(
    sides: Sequence[Side], height: int, width: int, dtype: torch.dtype, describe: DescribeSize = sdxl_ids
) -> list[Call]:
    """The calls that serve all rows, as few as their lengths allow.

    Rows are numbered side by side: all pictures' first side, then all pictures' second. height, width: of the
    latent; dtype: the network's.
    """
    size = height * LATENT_PIXELS, width * LATENT_PIXELS
    rows = [
        _Row(number, conditioning, describe(*size, side))
        for number, side in enumerate(sides)
        for conditioning in side.conditionings
    ]
    groups = group_lengths([row.conditioning.cond.shape[1] for row in rows])
    return [_make_call(group, [rows[row] for row in group], dtype) for group in groups]


def group_lengths(lengths: Sequence[int]) -> list[list[int]]:
    """Row numbers by call: a row joins the first group that needs no row repeated more than four times."""
    groups: list[list[int]] = []
    for row, length in enumerate(lengths):
        for group in groups:
            joined = [length, *(lengths[member] for member in group)]
            if math.lcm(*joined) <= LONGEST_REPEAT * min(joined):
                group.append(row)
                break
        else:
            groups.append([row])
    return groups


def _rounded(height: int, width: int) -> tuple[int, int]:
    return round(height / SIZE_STEP) * SIZE_STEP, round(width / SIZE_STEP) * SIZE_STEP


class _Row(NamedTuple):
    """One picture's side. ids: the two that it is told one after the other."""

    side: int
    conditioning: Conditioning
    ids: tuple[SizeIds, SizeIds]


def _make_call(numbers: list[int], rows: Sequence[_Row], dtype: torch.dtype) -> Call:
    conds = [row.conditioning.cond for row in rows]
    device = conds[0].device
    tokens = math.lcm(*(cond.shape[1] for cond in conds))
    emphasised, consistent = zip(*(row.ids for row in rows), strict=True)
    return Call(
        rows=torch.tensor(numbers, device=device),
        sides=tuple(row.side for row in rows),
        context=torch.cat([cond.repeat(1, tokens // cond.shape[1], 1) for cond in conds]).to(dtype),
        pooled=torch.cat([row.conditioning.pooled for row in rows]).to(dtype),
        emphasised_ids=torch.tensor(emphasised, dtype=torch.float32, device=device),
        consistent_ids=torch.tensor(consistent, dtype=torch.float32, device=device),
    )
