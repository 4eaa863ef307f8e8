"""What happens between the two predictions and the one that is used: sharpness, adaptive CFG, CFG."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from handler.plan.plan import GuidancePlan

RADIUS = 6
WINDOW = 2 * RADIUS + 1
SIGMA_SPACE = 3.0
SIGMA_RANGE = 3.0
SHARPNESS_UNIT = 0.001
# Neighbourhoods are laid out in memory for this many values at once: 64 MiB in float32.
STRIP_VALUES = 1 << 24


class Guidance:
    """Combines positive and negative predictions; its tables live on `device`, so that a step uploads nothing."""

    def __init__(self, plan: GuidancePlan, device: torch.device) -> None:
        self._plan = plan
        self._log_space = _log_space_weights(device)

    def __call__(self, x: Tensor, positive: Tensor, negative: Tensor, progress: float) -> Tensor:
        """The guided prediction. x, positive, negative: [pictures, 4, h, w]; progress: 0 (all noise) to 1."""
        blur = SHARPNESS_UNIT * self._plan.sharpness * progress
        if blur != 0:
            positive = self._sharpen(x, positive, blur)
        return combine(negative, positive, effective_cfg(self._plan, progress))

    def _sharpen(self, x: Tensor, denoised: Tensor, blur: float) -> Tensor:
        """Takes the share `blur` of the fine structure out of what counts as noise, which leaves it in the picture."""
        eps = x - denoised
        return x - torch.lerp(eps, bilateral(eps, denoised, self._log_space), blur)


def effective_cfg(plan: GuidancePlan, progress: float) -> float:
    """The scale of this step: a cfg above `adaptive_cfg` starts at the latter and grows with progress."""
    if plan.cfg <= plan.adaptive_cfg:
        return plan.cfg
    return progress * plan.cfg + (1.0 - progress) * plan.adaptive_cfg


def combine(negative: Tensor, positive: Tensor, cfg: float) -> Tensor:
    """Classifier-free guidance (Ho and Salimans 2022); the same for predictions and for their noise."""
    return torch.lerp(negative, positive, cfg)


def bilateral(values: Tensor, guide: Tensor, log_space: Tensor | None = None) -> Tensor:
    """Joint bilateral filter (Petschnigg et al. 2004), 13x13, reflected at the edges.

    values, guide: [n, channels, h, w] with sides above 6. Weights fall with the distance in the plane and with the
    L1 distance over the guide's channels, the guide normalised per picture.
    """
    log_space = _log_space_weights(values.device) if log_space is None else log_space
    spread = guide.std(dim=(1, 2, 3), keepdim=True) + 1e-5
    guide = (guide - guide.mean(dim=(1, 2, 3), keepdim=True)) / spread
    padded_values = functional.pad(values, (RADIUS,) * 4, mode="reflect")
    padded_guide = functional.pad(guide, (RADIUS,) * 4, mode="reflect")
    height = max(1, STRIP_VALUES // (guide[:, :, 0].numel() * WINDOW**2))
    strips = [
        _filter_strip(
            padded_values[:, :, top : top + height + 2 * RADIUS],
            padded_guide[:, :, top : top + height + 2 * RADIUS],
            guide[:, :, top : top + height],
            log_space,
        )
        for top in range(0, guide.shape[2], height)
    ]
    return strips[0] if len(strips) == 1 else torch.cat(strips, dim=2)


def _filter_strip(values: Tensor, around: Tensor, centre: Tensor, log_space: Tensor) -> Tensor:
    gap = _windows(around).sub(centre[..., None, None]).abs_().sum(dim=1, keepdim=True)
    weights = torch.addcmul(log_space, gap, gap, value=-0.5 / SIGMA_RANGE**2).exp_()
    return _windows(values).mul(weights).sum(dim=(-2, -1)) / weights.sum(dim=(-2, -1))


def _windows(padded: Tensor) -> Tensor:
    """Every pixel's neighbourhood, as a view: [n, channels, h, w, 13, 13]."""
    return padded.unfold(2, WINDOW, 1).unfold(3, WINDOW, 1)


def _log_space_weights(device: torch.device) -> Tensor:
    """Logarithm of the Gaussian over the window, up to a constant that cancels out: [13, 13]."""
    offset = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float32, device=device)
    return (offset[:, None] ** 2 + offset**2) * (-0.5 / SIGMA_SPACE**2)
