"""Which files steer. Imported at start, so it imports next to nothing."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.enums import ControlType


@dataclass(frozen=True)
class ControlNetFiles:
    """The ControlNet of each kind of hint: a file or a diffusers folder below `controlnet/`."""

    canny: str = "control-lora-canny-rank128.safetensors"
    cpds: str = "fooocus_xl_cpds_128.safetensors"

    def path(self, kind: ControlType) -> str:
        """Below a models folder."""
        return f"controlnet/{self.cpds if kind is ControlType.CPDS else self.canny}"
