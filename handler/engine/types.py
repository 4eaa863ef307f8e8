"""Values that pass between the parts of the engine."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """What one side (positive or negative) tells the network.

    cond: [1, tokens, dim], tokens a multiple of 77; pooled: [1, pooled_dim]. Both on the network's device.
    """

    cond: Tensor
    pooled: Tensor
