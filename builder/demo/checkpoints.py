"""Checkpoints and progress lines shared by the training stages."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

import torch

SAVE_EVERY_SECONDS = 120.0
REPORT_EVERY_STEPS = 25
WARM_UP = 50
COOL_DOWN = 0.35  # the last part of a training, in which the rate falls to zero


class Stateful(Protocol):
    """What a checkpoint can hold: modules, optimisers, schedules, averages."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Checkpoint:
    """The state of one training stage in one file, replaced atomically."""

    def __init__(self, path: Path, **parts: Stateful) -> None:
        self.path = path
        self.parts = parts
        self._saved = time.monotonic()

    def load(self) -> int:
        """Restore every part; returns the next step, 0 where there is no checkpoint."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True, map_location="cpu")
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        return int(state["step"])

    def save(self, step: int) -> None:
        """Write every part; `step` is the next one to do."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        torch.save({"step": step} | {name: part.state_dict() for name, part in self.parts.items()}, fresh)
        fresh.replace(self.path)
        self._saved = time.monotonic()

    def save_sometimes(self, step: int) -> None:
        """Save when the last one is `SAVE_EVERY_SECONDS` old."""
        if time.monotonic() - self._saved > SAVE_EVERY_SECONDS:
            self.save(step)


def progress(stage: str, step: int, steps: int, began: float, values: dict[str, float]) -> None:
    """Print one line every `REPORT_EVERY_STEPS` steps and at the end."""
    if (step + 1) % REPORT_EVERY_STEPS and step + 1 != steps:
        return
    numbers = " ".join(f"{name} {value:.4f}" for name, value in values.items())
    print(f"{stage} {step + 1}/{steps} {time.monotonic() - began:.0f} s {numbers}", flush=True)


def rate_factor(step: int, steps: int, cool_down: float = COOL_DOWN) -> float:
    """Linear warm-up, level, then linear cool-down to zero over the last part `cool_down` of the steps."""
    return min(1.0, (step + 1) / WARM_UP, (steps - step) / (cool_down * steps))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups."""
    for group in optimiser.param_groups:
        group["lr"] = rate
