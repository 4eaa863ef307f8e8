"""The models that control images need: found in the models folders, loaded when first asked for, kept for a while."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from handler.engine.checkpoint import SdxlModel
from handler.engine.control.controlnet import ControlNet, is_control_lora, load_controlnet
from handler.engine.control.files import ControlNetFiles
from handler.engine.control.image_encoder import ImageEncoder, load_image_encoder
from handler.engine.control.ip_adapter import IpAdapter, load_ip_adapter
from handler.engine.control.retinaface import load_face_detector
from handler.engine.control.state import read_state
from handler.engine.lora.file import file_key
from handler.engine.shelf import Shelf
from handler.engine.weights import WeightsError
from handler.pixels.faces import find_face
from schemas.enums import ControlType
from schemas.errors import ModelMissing

IMAGE_ENCODER = "clip_vision/clip_vision_vit_h.safetensors"
NEGATIVE = "controlnet/fooocus_ip_negative.safetensors"
FACE_DETECTOR = "controlnet/detection_Resnet50_Final.pth"
NEGATIVE_TENSOR = "data"
ADAPTERS = {
    ControlType.IMAGE_PROMPT: "controlnet/ip-adapter-plus_sdxl_vit-h",
    ControlType.FACE_SWAP: "controlnet/ip-adapter-plus-face_sdxl_vit-h",
}
"""Without the suffix: the safetensors file is preferred to the pickle of the same adapter."""
SUFFIXES = (".safetensors", ".bin")


class ControlModels:
    """roots: the models folders, in order of precedence. Loaders raise ModelMissing, WeightsError, OutOfMemory."""

    def __init__(self, model: SdxlModel, roots: Sequence[Path], files: ControlNetFiles, shelf: Shelf) -> None:
        self._model = model
        self._roots = roots
        self._files = files
        self._shelf = shelf

    def controlnet(self, kind: ControlType) -> ControlNet:
        """The ControlNet for this kind of hint; a Control-LoRA goes with the base model's weights as they are now."""
        path = self._find(self._files.path(kind))
        variant = self._model.variant if is_control_lora(path) else ()
        key = ("controlnet", file_key(path), variant)
        return self._shelf.get(key, lambda: load_controlnet(path, self._model.unet))

    def adapter(self, kind: ControlType) -> IpAdapter:
        """The IP-Adapter for this kind of image prompt."""
        path = self._find(*(ADAPTERS[kind] + suffix for suffix in SUFFIXES))
        return self._shelf.get(("adapter", file_key(path)), lambda: load_ip_adapter(path, self._model.unet))

    def encoder(self) -> ImageEncoder:
        """What sees pictures for image prompts."""
        path, unet = self._find(IMAGE_ENCODER), self._model.unet
        configs = path.parents[1] / "configs"
        key = ("encoder", file_key(path))
        return self._shelf.get(key, lambda: load_image_encoder(path, configs, unet.device, unet.dtype))

    def find_face(self, pixels: np.ndarray) -> np.ndarray | None:
        """A `FindFace`: the catalogue's detector where it is installed, else the one that needs no file."""
        path = next((root / FACE_DETECTOR for root in self._roots if (root / FACE_DETECTOR).is_file()), None)
        if path is None:
            return find_face(pixels)
        return self._shelf.get(("faces", file_key(path)), lambda: load_face_detector(path))(pixels)

    def negative(self) -> Tensor | None:
        """Tokens that stand against image prompts, [1, n, token width]; None where the file is not installed."""
        path = next((root / NEGATIVE for root in self._roots if (root / NEGATIVE).is_file()), None)
        if path is None:
            return None
        tokens = read_state(path).get(NEGATIVE_TENSOR)
        if tokens is None or tokens.ndim not in (2, 3):
            raise WeightsError(f"{path.name} holds no tokens")
        unet = self._model.unet
        return tokens.view(1, *tokens.shape[-2:]).to(unet.device, unet.dtype)

    def _find(self, *names: str) -> Path:
        """The first of these, paths below a models folder, that is installed. Raises ModelMissing for the last one."""
        for name in names:
            for root in self._roots:
                if (root / name).exists():
                    return root / name
        wanted = names[-1]
        raise ModelMissing(
            f"This control image needs {wanted} in the models folder, which is not installed. "
            f"Run: python -m builder fetch {Path(wanted).name}"
        )
