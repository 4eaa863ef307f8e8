"""An Adam whose weights keep their size.

Adam moves every weight by about the learning rate, however small the weight is. In front of a normalisation that only
makes weights grow, and the larger they are, the less a step turns them: after some hundred steps such a network hardly
learns. So here each matrix moves by a share of its own size, and its norm stays below a limit (the idea of Karras et
al. 2024, "Analyzing and improving the training dynamics of diffusion models", in the simplest form that helps).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

SHARE = 0.012  # of a matrix's root mean square, per step
PLAIN_RATE = 2e-3  # of biases and the like
GROWTH = 1.5  # largest norm of a matrix beside its first one
SMALLEST = 0.01  # root mean square from which a matrix's rate is taken at least


class SteadyAdam:
    """Adam over `parameters`, of which those in `free`, and those that begin as zeros, may grow without limit.

    Create it with the parameters' first values: rates and limits are taken from them, not from a checkpoint.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], free: Iterable[nn.Parameter] = ()) -> None:
        parameters = list(parameters)
        groups: dict[float, list[nn.Parameter]] = defaultdict(list)
        for parameter in parameters:
            groups[_rate(parameter)].append(parameter)
        self.rates = tuple(groups)
        self.adam = torch.optim.AdamW(
            [{"params": group} for group in groups.values()], betas=(0.9, 0.98), weight_decay=0.0, fused=True
        )
        apart = {id(parameter) for parameter in free}
        self.held = [p for p in parameters if p.dim() > 1 and id(p) not in apart and p.detach().any()]
        self.limits = [GROWTH * norm for norm in self._norms()]

    def zero_grad(self) -> None:
        self.adam.zero_grad()

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """One step at `factor` (0..1) of the full rates."""
        for group, rate in zip(self.adam.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        self.adam.step()
        shrink = [min(1.0, limit / norm) for limit, norm in zip(self.limits, self._norms(), strict=True)]
        torch._foreach_mul_(self.held, shrink)

    def state_dict(self) -> dict[str, Any]:
        return self.adam.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.adam.load_state_dict(state)

    @torch.no_grad()
    def _norms(self) -> list[float]:
        return torch.stack(torch._foreach_norm(self.held)).tolist()


def _rate(parameter: nn.Parameter) -> float:
    """Learning rate of one parameter; rounded, so that few groups come out."""
    if parameter.dim() < 2:
        return PLAIN_RATE
    size = float(parameter.detach().square().mean().sqrt())
    return SHARE * 2.0 ** round(math.log2(max(size, SMALLEST)))
