"""Models that only some jobs need."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from handler.engine import device as devices
from handler.engine.control.files import ControlNetFiles
from handler.engine.shelf import BUDGET, Shelf

HEADROOM = 8 * 2**30
"""Bytes of a GPU left for work: a picture of a megapixel, and the merged weights of a job's LoRAs."""


@dataclass(frozen=True)
class Features:
    """bytes: what of such models is kept in memory between jobs; 0 leaves it to `budget`. shelf: where."""

    bytes: int = 0
    controlnets: ControlNetFiles = field(default_factory=ControlNetFiles)
    shelf: Shelf = field(default_factory=Shelf)

    def budget(self, device: torch.device) -> int:
        """Bytes to keep beside a checkpoint that is loaded: of a GPU, all but HEADROOM of what is left."""
        if self.bytes or device.type != "cuda":
            return self.bytes or BUDGET
        return max(0, devices.spare(device) - HEADROOM)
