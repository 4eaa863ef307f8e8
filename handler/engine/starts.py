"""What each job begins with: noise alone, a picture to vary or upscale, or one to repaint in part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from handler.engine.checkpoint import SdxlModel
from handler.engine.inpaint.network import InpaintNetworks
from handler.engine.inpaint.start import start_inpainting
from handler.engine.preview import small_jpeg
from handler.engine.shelf import Shelf
from handler.engine.start import FROM_NOISE, Start, posterior_draw
from handler.engine.step import OnStep, Step
from handler.engine.uov import brought_to_size, start_from_picture
from handler.engine.upscaler import Upscaler
from handler.engine.vae import Draw
from handler.plan.plan import Plan, UovPlan


class Starts:
    """Makes them for one base model.

    roots: the models folders. shelf: where what they need is kept. new_draw: gives the noise for one VAE's posteriors.
    """

    def __init__(
        self,
        model: SdxlModel,
        roots: Sequence[Path],
        shelf: Shelf,
        new_draw: Callable[[], Draw] = posterior_draw,
    ) -> None:
        self._model = model
        self._roots = roots
        self._shelf = shelf
        self._new_draw = new_draw
        self._networks = InpaintNetworks(model, shelf)

    def of(self, plan: Plan, on_step: OnStep) -> Start:
        """The start of a job; enlarging its picture is told to `on_step` as a step that is not done yet.

        Raises ModelMissing (the upscaler), ModelLoadError, and OutOfMemory.
        """
        upscale = partial(self._upscaled, plan, on_step)
        for uov in plan.uov:
            return start_from_picture(uov, upscale, self._new_draw)
        for inpaint in plan.inpaint:
            return start_inpainting(inpaint, self._model.vae, upscale, self._networks, self._new_draw)
        return FROM_NOISE

    def enlarged(self, plan: UovPlan, on_step: OnStep) -> np.ndarray:
        """The picture of a job that is not sampled: uint8 [height, width, 3] of the plan. Each tile is a step."""

        def upscaled(pixels: np.ndarray) -> np.ndarray:
            def on_tile(done: int, tiles: int) -> None:
                on_step(Step(0, 1, done, tiles, lambda: small_jpeg(pixels)))

            return self._upscaler().upscale(pixels, on_tile)

        return brought_to_size(plan, upscaled)

    def _upscaled(self, plan: Plan, on_step: OnStep, pixels: np.ndarray) -> np.ndarray:
        step = Step(0, len(plan.images), 0, plan.sampling.steps, lambda: small_jpeg(pixels))
        return self._upscaler().upscale(pixels, lambda done, tiles: on_step(step))

    def _upscaler(self) -> Upscaler:
        return self._shelf.get(Upscaler, lambda: Upscaler.load(self._roots, self._model.device))
