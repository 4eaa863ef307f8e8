"""The engines of several checkpoints, of which one is in memory: the latest that was asked for."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from handler.engine import failures
from handler.engine.checkpoint import BASE_MODEL
from handler.engine.engine import Engine
from handler.engine.picture import Picture
from handler.engine.step import OnStep
from handler.plan.plan import Plan
from schemas.errors import ModelLoadError


class Engines:
    """Renders each plan with the engine of its checkpoint.

    load: makes the engine of a checkpoint; raises FooocusError or ValueError with words for an operator.
    """

    def __init__(self, load: Callable[[Path], Engine]) -> None:
        self._load = load
        self._path: Path | None = None
        self._engine: Engine | None = None

    def get(self, path: Path) -> Engine:
        """The engine of a checkpoint. The former one goes before another is loaded: there may be room for one only."""
        if self._engine is None or path != self._path:
            self.release()
            self._path = self._engine = None
            gc.collect()
            torch.cuda.empty_cache()
            self._engine, self._path = self._load(path), path
        return self._engine

    def release(self) -> bool:
        """`Engine.release` of the one in memory, if there is one."""
        return self._engine is not None and self._engine.release()

    def render(self, plan: Plan, on_step: OnStep) -> Iterator[Picture]:
        """`Engine.render` of the plan's checkpoint. Raises what that raises, and ModelLoadError at `base_model` for a
        file that is no SDXL checkpoint."""
        with failures.translated(gc.collect):
            engine = self._of(plan.base)
        yield from engine.render(plan, on_step)

    def _of(self, path: Path) -> Engine:
        try:
            return self.get(path)
        except ValueError as error:
            raise ModelLoadError(BASE_MODEL, input=path.name, message=str(error)) from None
