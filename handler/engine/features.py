"""Models that only some jobs need."""

from __future__ import annotations

from dataclasses import dataclass, field

from handler.engine.control.files import ControlNetFiles

KEPT_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Features:
    """bytes: what of such models is kept in memory between jobs; the least recently used go first."""

    bytes: int = KEPT_BYTES
    controlnets: ControlNetFiles = field(default_factory=ControlNetFiles)


DEFAULT_FEATURES = Features()
