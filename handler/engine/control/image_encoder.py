"""CLIP's vision network as image prompts use it: features of places in a picture, not one vector for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel

from handler.engine.blueprint import read_config, shapes_only
from handler.engine.device import require_memory
from handler.engine.ldm_keys import Place
from handler.engine.shelf import parameter_bytes
from handler.engine.sources import Source, materialise
from handler.engine.weights import Staging, WeightsError, WeightsFile
from handler.pixels.resize import ResizeMode, resize

BUILT_IN = Path(__file__).parents[1] / "configs"
NAME = "clip_vision"
WRAPPER = "vision_model."
"""What files have before the names of the vision network's parameters; CLIP's other half lies beside it."""

MEAN = np.array((0.48145466, 0.4578275, 0.40821073), np.float32)
STD = np.array((0.26862954, 0.26130258, 0.27577711), np.float32)
"""OpenAI CLIP's pixel statistics, RGB in 0..1."""


@dataclass(frozen=True)
class ImageEncoder:
    """network: without its last layer, whose output no image prompt uses."""

    network: CLIPVisionModel

    @property
    def bytes(self) -> int:
        return parameter_bytes(self.network)

    @property
    def width(self) -> int:
        """Of the features of one place."""
        return self.network.config.hidden_size

    def encode(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """uint8 [h, w, 3] each, of any size -> features [pictures, places, width] in the network's type."""
        side = self.network.config.image_size
        return self._features(torch.stack([prepared(picture, side) for picture in pictures]))

    def encode_nothing(self) -> Tensor:
        """The features of a picture of zeros, which diffusers sets against image prompts: [1, places, width]."""
        side = self.network.config.image_size
        return self._features(torch.zeros(1, 3, side, side))

    def _features(self, pixels: Tensor) -> Tensor:
        network = self.network
        return network(pixel_values=pixels.to(network.device, network.dtype)).last_hidden_state


def prepared(picture: np.ndarray, side: int) -> Tensor:
    """CLIP's input, float32 [3, side, side]: the whole picture, squashed to a square and normalised."""
    square = resize(picture, side, side, ResizeMode.SQUASH).astype(np.float32) / 255.0
    return torch.from_numpy((square - MEAN) / STD).permute(2, 0, 1)


def load_image_encoder(path: Path, configs: Path | None, device: torch.device, dtype: torch.dtype) -> ImageEncoder:
    """Load the vision half of a CLIP with transformers' names; ViT-H/14 unless described otherwise.

    configs: for a file `x.safetensors`, `configs/x/clip_vision/config.json` may describe another network.
    Raises WeightsError and OutOfMemory.
    """
    own = configs / path.stem if configs else None
    described = own if own and (own / NAME / "config.json").is_file() else BUILT_IN
    with ExitStack() as files:
        file = files.enter_context(WeightsFile(path))
        network = _network(described)
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        sources = {key: _source(file, key, shape) for key, shape in shapes.items()}
        require_memory(device, sum(p.numel() for p in network.parameters()) * dtype.itemsize)
        materialise(network, sources, device, dtype, Staging(device))
    return ImageEncoder(network)


def _network(described: Path) -> CLIPVisionModel:
    """On the meta device."""
    try:
        config = CLIPVisionConfig(**read_config(described, NAME))
        config.num_hidden_layers -= 1
        with shapes_only():
            return CLIPVisionModel(config).eval().requires_grad_(False)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise WeightsError(f"the configuration of {described.name} describes no CLIP vision network") from error


def _source(file: WeightsFile, key: str, shape: tuple[int, ...]) -> Source:
    source = Source(file, Place(WRAPPER + key.removeprefix(WRAPPER)))
    if source.place.name not in file.entries:
        raise WeightsError(f"{file.name} is not the image encoder of image prompts: it has no {source.place.name!r}")
    if not source.entry.dtype.is_floating_point or not source.fits(shape):
        raise WeightsError(f"{file.name} is another image encoder: tensor {source.place.name!r} does not fit")
    return source
