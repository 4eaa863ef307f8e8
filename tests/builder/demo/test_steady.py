"""The UNet's optimiser: matrices move by a share of their size and never outgrow their limit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from builder.demo.steady import GROWTH, PLAIN_RATE, SHARE, SteadyAdam


def one_step(module: nn.Module, optimiser: SteadyAdam, factor: float = 1.0) -> None:
    optimiser.zero_grad()
    sum(parameter.sum() for parameter in module.parameters()).backward()
    optimiser.step(factor)


@pytest.mark.parametrize("size", [0.05, 0.4])
def test_a_matrix_moves_by_a_share_of_its_size(size: float) -> None:
    layer = nn.Linear(64, 64)
    nn.init.normal_(layer.weight, std=size)
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    one_step(layer, SteadyAdam(layer.parameters()), factor=0.5)
    moved = (layer.weight - before[0]).square().mean().sqrt() / before[0].square().mean().sqrt()
    assert SHARE / 2 / 1.5 < moved < SHARE / 2 * 1.5
    assert torch.allclose(before[1] - layer.bias, torch.full((64,), PLAIN_RATE / 2), rtol=1e-3)


def test_a_matrix_keeps_below_its_limit_and_a_free_one_grows() -> None:
    pair = nn.ModuleList([nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False)])
    nn.init.zeros_(pair[2].weight)
    first = [float(layer.weight.detach().norm()) for layer in pair]
    optimiser = SteadyAdam(pair.parameters(), free=[pair[1].weight])
    for _ in range(400):
        one_step(pair, optimiser)
    last = [float(layer.weight.detach().norm()) for layer in pair]
    assert last[0] == pytest.approx(GROWTH * first[0], rel=1e-3)
    assert last[1] > 2 * GROWTH * first[1]
    assert last[2] > 0.5
