"""Upscales pictures with an ESRGAN network, in tiles that shrink when memory runs out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handler.engine import device as devices
from handler.engine.esrgan import Esrgan, esrgan
from handler.engine.failures import free, ran_out
from handler.engine.layout import batch_of_one
from handler.engine.pickled import read_catalogued
from handler.engine.shelf import parameter_bytes
from handler.engine.tiles import tiled
from handler.engine.vae import to_uint8
from handler.engine.weights import WeightsError, WeightsFile
from schemas.errors import InternalError, ModelMissing, OutOfMemory

FOLDER = "upscale_models"
STEMS = ("fooocus_upscaler_s409985e5", "RealESRGAN_x4plus", "RealESRGAN_x2plus")
SUFFIXES = (".safetensors", ".bin", ".pth")
"""In order of preference. The pickled ones must be the catalogue's, byte for byte."""

TILE, OVERLAP, SMALLEST_TILE = 512, 32, 128
"""Fooocus's tiles, in pixels of the picture that is upscaled."""

OnTile = Callable[[int, int], None]
"""Told (tiles done, tiles in all) after each tile, and (0, tiles) before the first; what it raises ends the work."""


def _unheard(done: int, tiles: int) -> None:
    """Nobody listens."""


@dataclass
class Upscaler:
    """A loaded upscaler. The network computes in float32 or, on a GPU, in float16."""

    network: Esrgan
    tile: int = TILE
    overlap: int = OVERLAP
    smallest_tile: int = SMALLEST_TILE

    @classmethod
    def load(cls, roots: Sequence[Path], device: torch.device) -> Upscaler:
        """Load the first upscaler of the models folders. Raises ModelMissing when there is none or it is damaged."""
        path = find_upscaler(roots)
        if path is None:
            raise ModelMissing(
                f"Upscaling needs {STEMS[0]}.bin in {FOLDER}/, which is not installed. "
                f"Run: python -m builder fetch {STEMS[0]}.bin"
            )
        try:
            network = esrgan(_weights(path))
        except WeightsError as error:
            raise ModelMissing(f"{FOLDER}/{path.name} cannot be used: {error}") from error
        dtype = devices.unet_dtype(device)
        return cls(network.to(device=device, dtype=dtype, memory_format=devices.memory_format(device)))

    @property
    def bytes(self) -> int:
        """The memory its network occupies."""
        return parameter_bytes(self.network)

    @property
    def scale(self) -> int:
        """By what sides grow: 4 for Fooocus's upscaler."""
        return self.network.scale

    def upscale(self, pixels: np.ndarray, on_tile: OnTile = _unheard) -> np.ndarray:
        """pixels: uint8 [h, w, 3] -> uint8 [scale * h, scale * w, 3].

        Where a tile does not fit into memory, everything starts again with half of its side, down to
        `smallest_tile`; should float16 overflow, once more in float32. Raises OutOfMemory, InternalError when the
        picture is not finite even then, and whatever `on_tile` raises.
        """
        with torch.inference_mode():
            enlarged = self._finite(_input(pixels), on_tile)
            return to_uint8(enlarged.clamp_(0.0, 1.0).permute(0, 2, 3, 1))

    def _finite(self, picture: Tensor, on_tile: OnTile) -> Tensor:
        enlarged = self._shrinking(picture, on_tile)
        if not enlarged.isfinite().all() and self._first.dtype != torch.float32:
            enlarged = replace(self, network=copy.deepcopy(self.network).float())._shrinking(picture, on_tile)
        if not enlarged.isfinite().all():
            raise InternalError("The upscaler gave numbers that are no picture")
        return enlarged

    def _shrinking(self, picture: Tensor, on_tile: OnTile) -> Tensor:
        tile = self.tile
        while True:
            try:
                return self.enlarge(picture, tile, on_tile)
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
                error.__traceback__ = None  # It keeps the failed tile's tensors alive.
            if tile <= self.smallest_tile:
                raise OutOfMemory
            tile = max(self.smallest_tile, tile // 2)
            free()

    @torch.inference_mode()
    def enlarge(self, picture: Tensor, tile: int, on_tile: OnTile = _unheard) -> Tensor:
        """float32 [1, 3, h, w] in 0..1 -> float32 on the CPU [1, 3, scale * h, scale * w], not clamped."""
        count = _Count(_tiles(picture, tile - self.overlap), on_tile)

        def work(part: Tensor) -> Tensor:
            enlarged = self._apply(part)
            count.add()
            return enlarged

        return tiled(picture, work, (tile, tile), self.overlap, self.scale)

    def _apply(self, part: Tensor) -> Tensor:
        return self.network(part.to(self._first.device, self._first.dtype)).float().cpu()

    @property
    def _first(self) -> Tensor:
        return self.network.conv_first.weight


@dataclass
class _Count:
    """Tells a listener how many tiles are done."""

    tiles: int
    told: OnTile
    done: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.told(0, self.tiles)

    def add(self) -> None:
        self.done += 1
        self.told(self.done, self.tiles)


def find_upscaler(roots: Sequence[Path]) -> Path | None:
    """The file of the first models folder that has one."""
    wanted = [f"{stem}{suffix}" for stem in STEMS for suffix in SUFFIXES]
    return next((root / FOLDER / name for root in roots for name in wanted if (root / FOLDER / name).is_file()), None)


def _weights(path: Path) -> Mapping[str, Tensor]:
    if path.suffix != ".safetensors":
        return read_catalogued(path, f"{FOLDER}/{path.name}")
    with WeightsFile(path) as file:
        return {name: file.read(name) for name in file.entries}


def _input(pixels: np.ndarray) -> Tensor:
    return batch_of_one(torch.tensor(pixels).float() / 255.0)


def _tiles(picture: Tensor, step: int) -> int:
    height, width = picture.shape[2:]
    return -(-height // step) * -(-width // step)
