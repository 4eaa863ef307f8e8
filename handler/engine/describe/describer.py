"""Describes pictures in the ways a request may ask for; each model is loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from handler.engine import device as devices
from handler.engine.describe.tagger import Tagger
from handler.engine.failures import given_room, translated
from handler.engine.shelf import Shelf
from schemas.enums import DescribeType

if TYPE_CHECKING:
    from handler.engine.describe.captioner import Captioner

CAPTIONER, TAGGER = "captioner", "tagger"


class Describer:
    """Both models, which are kept for a while once loaded. Used in the thread that owns the device."""

    def __init__(
        self,
        roots: Sequence[Path],
        device_name: str,
        shelf: Shelf | None = None,
        release: Callable[[], bool] = lambda: False,
    ) -> None:
        """roots: the models folders, in order of precedence. device_name: see `device.choose`.

        shelf: where they are kept. release: drops what others keep in memory and can make again, and says whether
        there was anything.
        """
        self._roots = roots
        self._device_name = device_name
        self._shelf = shelf if shelf is not None else Shelf()
        self._release_others = release

    def describe(self, pixels: np.ndarray, types: Sequence[DescribeType], seed: int, check: Callable[[], None]) -> str:
        """The words of each type for a picture, uint8 [h, w, 3], in the order of `types`, separated by commas.

        check: called now and then. Raises ModelMissing, OutOfMemory, DeviceLost and what `check` raises.
        """
        with translated(self._release):
            try:
                words = partial(self._words, pixels, types, seed, check)
                return ", ".join(given_room(words, self._release))
            finally:
                self._shelf.settle()

    def load(self) -> None:
        """Load both models. Raises ModelMissing and OutOfMemory."""
        self._captioner()
        self._tagger()

    def _words(
        self, pixels: np.ndarray, types: Sequence[DescribeType], seed: int, check: Callable[[], None]
    ) -> Iterator[str]:
        ways = {
            DescribeType.PHOTO: lambda: self._captioner().caption(pixels, seed, check),
            DescribeType.ANIME: lambda: self._tagger().tags(pixels),
        }
        for kind in types:
            check()
            words = ways[kind]()
            if words:
                yield words

    def _release(self) -> bool:
        dropped = [self._shelf.clear(), self._release_others()]
        return any(dropped)

    def _captioner(self) -> Captioner:
        # Imported here: BLIP's modules take a while, and most workers never describe a picture.
        from handler.engine.describe.captioner import Captioner

        where = devices.choose(self._device_name)
        return self._shelf.get(CAPTIONER, lambda: Captioner.load(self._roots, where))

    def _tagger(self) -> Tagger:
        return self._shelf.get(TAGGER, lambda: Tagger.load(self._roots))
