"""SDXL latents to SD 1.5 latents without a picture in between: city96's SD-Latent-Interposer, version 4.0.

https://github.com/city96/SD-Latent-Interposer (Apache-2.0). Latents are in VAE units on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from handler.engine.weights import WeightsError, WeightsFile

FILE = "vae_approx/xl-to-v1_interposer-v4.0.safetensors"
CHANNELS = 4
MOST_CHANNELS, MOST_BLOCKS = 512, 64


class Interposer(nn.Module):
    """latent [n, 4, h, w] -> the same picture in the other VAE's latents, of the same shape."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.head = _Join(CHANNELS, channels, nn.Conv2d(CHANNELS, channels, 3, padding=1))
        body = [_Normed(channels) for _ in range(blocks)]
        self.core = nn.Sequential(nn.Identity(), *body, nn.BatchNorm2d(channels), nn.SiLU())
        self.tail = nn.Conv2d(channels, CHANNELS, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        return self.tail(self.core(self.head(latent)))


class _Join(nn.Module):
    """Three convolutions beside a shorter way."""

    def __init__(self, inside: int, outside: int, short: nn.Module) -> None:
        super().__init__()
        self.short = short
        self.long = nn.Sequential(
            nn.Conv2d(inside, outside, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(outside, outside, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(outside, outside, 3, padding=1),
        )

    def forward(self, state: Tensor) -> Tensor:
        return functional.relu(self.long(state) + self.short(state))


class _Normed(_Join):
    """One residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, nn.Identity())
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, state: Tensor) -> Tensor:
        return super().forward(self.norm(state))


def load_interposer(roots: Sequence[Path], device: torch.device) -> Interposer:
    """The network of the models folders. Raises WeightsError when it is not installed or damaged."""
    path = next((root / FILE for root in roots if (root / FILE).is_file()), None)
    if path is None:
        raise WeightsError(
            f"this refiner needs {FILE} in the models folder, which is not installed. "
            f"Run: python -m builder fetch {Path(FILE).name}"
        )
    with WeightsFile(path) as file:
        state = {name: file.read(name).float() for name in file.entries}
    return interposer(state).to(device)


def interposer(state: dict[str, Tensor]) -> Interposer:
    """The network of these weights, as wide and deep as they say. Raises WeightsError when they are another's."""
    blocks = sum(name.endswith(".norm.weight") for name in state)
    channels = len(state["tail.weight"][0]) if state.get("tail.weight", torch.empty(0)).ndim == 4 else 0
    if not (0 < channels <= MOST_CHANNELS and 0 < blocks <= MOST_BLOCKS):
        raise WeightsError("the latent interposer is damaged")
    network = Interposer(channels, blocks)
    counters = {name: value for name, value in network.state_dict().items() if name.endswith(".num_batches_tracked")}
    try:
        network.load_state_dict(counters | state)
    except RuntimeError as error:
        raise WeightsError("the latent interposer is damaged") from error
    return network.eval().requires_grad_(False)
