"""Rows share a network call when repeating their tokens makes them equally long, at no more than four times."""

from __future__ import annotations

import torch

from handler.engine.sampling.calls import Side, group_lengths, plan_calls
from handler.engine.types import Conditioning


def test_equal_lengths_share_a_call() -> None:
    assert group_lengths([77] * 6) == [[0, 1, 2, 3, 4, 5]]


def test_lengths_that_repeat_share_a_call() -> None:
    assert group_lengths([77, 154]) == [[0, 1]]
    assert group_lengths([154, 231]) == [[0, 1]]
    assert group_lengths([308, 77]) == [[0, 1]]


def test_lengths_that_repeat_too_often_do_not() -> None:
    assert group_lengths([385, 77]) == [[0], [1]]
    assert group_lengths([77, 154, 231, 154]) == [[0, 1, 3], [2]]


def test_a_call_repeats_tokens_and_knows_its_rows() -> None:
    short, long = torch.arange(2.0).view(1, 2, 1), torch.arange(4.0).view(1, 4, 1)
    sides = [
        Side([Conditioning(short, torch.full((1, 3), 1.0)), Conditioning(long, torch.full((1, 3), 2.0))], 1.5),
        Side([Conditioning(long, torch.full((1, 3), 3.0)), Conditioning(short, torch.full((1, 3), 4.0))], 0.8),
    ]
    (call,) = plan_calls(sides, 16, 20, torch.float16)
    assert call.rows.tolist() == [0, 1, 2, 3]
    assert call.context.dtype == call.pooled.dtype == torch.float16
    assert call.context[:, :, 0].tolist() == [[0, 1, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 0, 1]]
    assert call.pooled[:, 0].tolist() == [1, 2, 3, 4]
    assert call.emphasised_ids[:, 0].tolist() == [192, 192, 102, 102]
    assert call.consistent_ids[:, 1].tolist() == [128] * 4
