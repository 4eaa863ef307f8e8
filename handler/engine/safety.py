"""The safety checker of Stable Diffusion (CompVis): which pictures show what should not be shown.

A CLIP vision network's embedding is compared with 17 concepts, each with its threshold; a picture near one of 3
further concepts is judged by thresholds lowered by 0.01. Blacking out is left to the caller.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import CLIPConfig

from handler.engine.blueprint import read_config, shapes_only
from handler.engine.sources import WITHOUT_USE, assign, component_sources, materialise
from handler.engine.weights import Staging, WeightsError
from schemas.catalogue import by_name
from schemas.errors import ModelMissing, SafetyCheckFailed

FOLDER = "safety_checker"
PICKLED = "stable-diffusion-safety-checker.bin"
FILES = ("model.safetensors", PICKLED)
BUILT_IN = Path(__file__).parent / "configs"
WRAPPER = "vision_model."

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""OpenAI CLIP's pixel statistics, RGB in 0..1."""
CARE = 0.01


class SafetyChecker:
    """A loaded checker."""

    def __init__(self, network: StableDiffusionSafetyChecker) -> None:
        self._network = network
        self._side = network.config.vision_config.image_size

    @classmethod
    def load(cls, roots: Sequence[Path], device: torch.device) -> SafetyChecker:
        """Load `safety_checker/` of the first models folder that has one: model.safetensors, or Fooocus's `.bin`.

        A config.json beside it may describe another network than CompVis's own. Raises ModelMissing when there is
        none and SafetyCheckFailed when it cannot be used.
        """
        models = next((root for root in roots if any((root / FOLDER / name).is_file() for name in FILES)), None)
        if models is None:
            raise ModelMissing("The safety checker is not installed; run: python -m builder fetch --feature safety")
        folder = models / FOLDER
        stored, pickled = (folder / name for name in FILES)
        try:
            network = _network(models if (folder / "config.json").is_file() else BUILT_IN)
            if stored.is_file():
                _load_folder(network, folder, device)
            else:
                known = by_name(f"{FOLDER}/{PICKLED}")
                load_pickled(network, pickled, known.sha256 if known else None, device)
        except (WeightsError, OSError, RuntimeError, ValueError, KeyError, UnpicklingError) as error:
            raise SafetyCheckFailed("The safety checker cannot be loaded") from error
        return cls(network)

    def check(self, images: Sequence[np.ndarray]) -> list[bool]:
        """Whether each picture, uint8 [h, w, 3], is flagged. Raises SafetyCheckFailed, whatever goes wrong."""
        try:
            return self._flags([_prepared(image, self._side) for image in images]) if images else []
        except Exception as error:
            raise SafetyCheckFailed from error

    @torch.no_grad()
    def _flags(self, pixels: Sequence[Tensor]) -> list[bool]:
        net = self._network
        batch = torch.stack(list(pixels)).to(net.device, net.dtype)
        embeds = normalize(net.visual_projection(net.vision_model(pixel_values=batch).pooler_output))
        care = _scores(embeds, net.special_care_embeds, net.special_care_embeds_weights)
        concepts = _scores(embeds, net.concept_embeds, net.concept_embeds_weights)
        lowered = np.where(_above(care), CARE, 0.0)[:, None]
        return [bool(flag) for flag in _above(concepts + lowered)]


def _scores(embeds: Tensor, concepts: Tensor, thresholds: Tensor) -> np.ndarray:
    """Cosine similarity above the threshold: [pictures, concepts]."""
    scores = (embeds @ normalize(concepts).T - thresholds).float().cpu().numpy()
    if not np.isfinite(scores).all():
        raise ValueError("the checker's scores are not finite")
    return scores


def _above(scores: np.ndarray) -> np.ndarray:
    """Whether any score of a picture is above zero in its third decimal."""
    return (np.round(scores, 3) > 0).any(axis=1)


def _prepared(image: np.ndarray, side: int) -> Tensor:
    """CLIP's input [3, side, side]: shorter side resized (bicubic), centre cropped, normalised."""
    height, width = image.shape[:2]
    short = min(height, width)
    size = (side * width // short, side * height // short)
    resized = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    cropped = np.asarray(resized.crop((left, top, left + side, top + side)), dtype=np.float32) / 255.0
    normal = (cropped - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(normal).permute(2, 0, 1)


def _network(configs: Path) -> StableDiffusionSafetyChecker:
    config = read_config(configs, FOLDER)
    with shapes_only():
        parts = {"projection_dim": config["projection_dim"], "vision_config": config["vision_config"]}
        return StableDiffusionSafetyChecker(CLIPConfig(**parts)).eval().requires_grad_(False)


def _load_folder(network: StableDiffusionSafetyChecker, folder: Path, device: torch.device) -> None:
    with ExitStack() as files:
        sources = component_sources(folder, network, files, WRAPPER)
        materialise(network, sources, device, torch.float32, Staging(device))


def load_pickled(network: StableDiffusionSafetyChecker, path: Path, sha256: str | None, device: torch.device) -> None:
    """Fill a network from a pickled state dict whose hash is known. Raises WeightsError when it is another file's."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise WeightsError(f"{path.name} is not the file of the catalogue")
    stored = torch.load(path, map_location="cpu", weights_only=True)
    state = {
        name.replace(WRAPPER * 2, WRAPPER): value.to(device, torch.float32)
        for name, value in stored.items()
        if name.rpartition(".")[2] not in WITHOUT_USE
    }
    assign(network, state, device)
