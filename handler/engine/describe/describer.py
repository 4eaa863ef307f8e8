"""Describes pictures in the ways a request may ask for; each model is loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handler.engine import device as devices
from handler.engine.describe.tagger import Tagger
from handler.engine.failures import translated
from schemas.enums import DescribeType

if TYPE_CHECKING:
    from handler.engine.describe.captioner import Captioner


class Describer:
    """Both models, which stay in memory once loaded. Used in the thread that owns the device."""

    def __init__(self, roots: Sequence[Path], device_name: str) -> None:
        """roots: the models folders, in order of precedence. device_name: see `device.choose`."""
        self._roots = roots
        self._device_name = device_name

    def describe(self, pixels: np.ndarray, types: Sequence[DescribeType], seed: int, check: Callable[[], None]) -> str:
        """The words of each type for a picture, uint8 [h, w, 3], in the order of `types`, separated by commas.

        check: called now and then. Raises ModelMissing, OutOfMemory, DeviceLost and what `check` raises.
        """
        ways = {
            DescribeType.PHOTO: lambda: self._captioner.caption(pixels, seed, check),
            DescribeType.ANIME: lambda: self._tagger.tags(pixels),
        }
        found = []
        with translated(self.forget):
            for kind in types:
                check()
                found.append(ways[kind]())
        return ", ".join(words for words in found if words)

    def forget(self) -> None:
        """Drop the loaded models; they are loaded again when needed."""
        for name in ("_captioner", "_tagger"):
            self.__dict__.pop(name, None)

    @cached_property
    def _captioner(self) -> Captioner:
        # Imported here: BLIP's modules take a while, and most workers never describe a picture.
        from handler.engine.describe.captioner import Captioner

        return Captioner.load(self._roots, devices.choose(self._device_name))

    @cached_property
    def _tagger(self) -> Tagger:
        return Tagger.load(self._roots)
