"""What makes a base network one that repaints: a head that shows it the picture, and changed weights.

Both are Fooocus's: `fooocus_inpaint_head.pth` and `inpaint*.fooocus.patch`, whose values are 8-bit steps between a
least and a largest one. As safetensors files they hold the same tensors by the same names, a patch its differences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import conv2d, pad

from handler.engine.checkpoint import SdxlModel
from handler.engine.ldm_keys import UNET_PREFIX, unet_places
from handler.engine.lora.file import FileKey, file_key
from handler.engine.patch import ParameterKey, swapped
from handler.engine.pickled import load_pickled, read_pickled
from handler.engine.sampling.latents import SDXL_SCALE
from handler.engine.weights import WeightsError, WeightsFile, reported_at
from handler.plan.plan import InpaintNetworkPlan
from schemas.catalogue import by_name

FOLDER = "inpaint"
HEAD = "head"
PATCH_PREFIX = "diffusion_model."
SHOWN = 5
"""Channels the head looks at: the mask, and the latent of the masked picture."""


@dataclass(frozen=True)
class Delta:
    """The change of one parameter: its values themselves, or in 255 steps from `low` to `high`."""

    values: Tensor
    low: float = 0.0
    high: float = 1.0

    def tensor(self, like: Tensor) -> Tensor:
        """float32, on the device of `like`."""
        values = self.values.to(like.device)
        if values.is_floating_point():
            return values.float()
        return values.float() / 255.0 * (self.high - self.low) + self.low


Patch = Mapping[str, Delta]
"""By name: `diffusion_model.` and LDM's name of a parameter."""


def read_head(path: Path) -> Tensor:
    """[channels, SHOWN, 3, 3]. Raises WeightsError."""
    tensors = _read_safe(path) if path.suffix == ".safetensors" else read_pickled(path, _sha256(path))
    head = tensors.get(HEAD)
    if head is None or head.ndim != 4 or head.shape[1:] != (SHOWN, 3, 3):
        raise WeightsError(f"{path.name} is no inpaint head")
    return head.float()


def read_patch(path: Path) -> Patch:
    """All of a patch, on the CPU as stored. Raises WeightsError."""
    if path.suffix == ".safetensors":
        return {name: Delta(tensor) for name, tensor in _read_safe(path).items()}
    return unpickled_patch(load_pickled(path, _sha256(path)), path.name)


def unpickled_patch(stored: object, name: str) -> Patch:
    """What a pickled patch, `{parameter: (uint8 tensor, least, largest)}`, holds. Raises WeightsError."""
    try:
        deltas = {key: Delta(steps, float(low), float(high)) for key, (steps, low, high) in dict(stored).items()}
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{name} is no inpaint patch") from error
    if not deltas or any(getattr(delta.values, "dtype", None) != torch.uint8 for delta in deltas.values()):
        raise WeightsError(f"{name} is no inpaint patch")
    return deltas


def head_feature(head: Tensor, masked: Tensor, mask: Tensor) -> Tensor:
    """What the head makes of the masked picture: [1, channels, h, w]. masked: in VAE units; mask: [1, 1, h, w]."""
    shown = torch.cat([mask.float(), masked.float() * SDXL_SCALE], dim=1)
    return conv2d(pad(shown, (1, 1, 1, 1), mode="replicate"), head.to(shown))


@contextmanager
def fed(unet: UNet2DConditionModel, feature: Tensor) -> Iterator[None]:
    """Inside, `feature` [1, channels, h, w] is added to what the UNet's first layer makes of every row.

    Raises WeightsError for the feature of a head made for another network.
    """
    if feature.shape[1] != unet.conv_in.out_channels:
        raise WeightsError("the inpaint head does not fit the base model")
    feature = feature.to(unet.dtype)
    handle = unet.conv_in.register_forward_hook(lambda module, inputs, output: output + feature)
    try:
        yield
    finally:
        handle.remove()


class InpaintNetworks:
    """Heads and patches over one model. The patched weights of the last set, and the last file, stay in memory."""

    def __init__(self, model: SdxlModel) -> None:
        self._model = model
        self._file: dict[FileKey, Patch] = {}
        self._merged: dict[tuple[object, ...], dict[ParameterKey, Tensor]] = {}

    @contextmanager
    def applied(self, plan: InpaintNetworkPlan, masked: Tensor, mask: Tensor) -> Iterator[None]:
        """Inside, the UNet sees the masked picture, and its weights, LoRAs included, are patched; then as before.

        masked, mask: see `head_feature`. Raises ModelLoadError for a damaged file or one of another model.
        """
        with ExitStack() as patches:
            with reported_at(plan.loc):
                feature = head_feature(read_head(plan.head), masked, mask)
                patches.enter_context(fed(self._model.unet, feature))
                patches.enter_context(self.patched(plan.patch))
            yield

    @contextmanager
    def patched(self, path: Path) -> Iterator[None]:
        """The part of `applied` that concerns weights. Raises WeightsError."""
        key = file_key(path)
        state = (*self._model.variant, key)
        if state not in self._merged:
            self._merged.clear()
            self._merged[state] = self._merge(self._read(path, key))
        with swapped(self._model, self._merged[state], (key,)):
            yield

    def forget(self) -> None:
        """Drop what is kept, to free memory. Not to be called inside `applied`."""
        self._file.clear()
        self._merged.clear()

    def _read(self, path: Path, key: FileKey) -> Patch:
        if key not in self._file:
            self._file.clear()
            self._file[key] = read_patch(path)
        return self._file[key]

    def _merge(self, patch: Patch) -> dict[ParameterKey, Tensor]:
        parameters = dict(self._model.unet.named_parameters())
        places = unet_places(self._model.unet.config, parameters)
        names = {PATCH_PREFIX + place.name.removeprefix(UNET_PREFIX): name for name, place in places.items()}
        # Patched weights outlive the job that asked for them and stand where ordinary parameters stood.
        with torch.inference_mode(False), torch.no_grad():
            return {("unet", names[key]): _patched(parameters[names[key]], patch[key]) for key in _known(patch, names)}


def _known(patch: Patch, names: Mapping[str, str]) -> list[str]:
    if not patch.keys() <= names.keys():
        raise WeightsError("the inpaint patch does not fit the base model")
    return list(patch)


def _patched(parameter: Tensor, delta: Delta) -> Tensor:
    if delta.values.shape != parameter.shape:
        raise WeightsError("the inpaint patch does not fit the base model")
    return (parameter.float() + delta.tensor(parameter)).to(parameter.dtype)


def _read_safe(path: Path) -> dict[str, Tensor]:
    with WeightsFile(path) as file:
        return {name: file.read(name) for name in file.entries}


def _sha256(path: Path) -> str | None:
    known = by_name(f"{FOLDER}/{path.name}")
    return known.sha256 if known else None
