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
from handler.engine.shelf import Shelf, bytes_of, parameter_bytes
from handler.engine.weights import WeightsError, WeightsFile, reported_at
from handler.plan.plan import InpaintNetworkPlan
from schemas.catalogue import by_name

FOLDER = "inpaint"
HEAD = "head"
PATCH_PREFIX = "diffusion_model."
PATCH, MERGED = "inpaint patch", "inpaint weights"
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


@dataclass(frozen=True)
class StoredPatch:
    """A patch that was read."""

    patch: Patch

    @property
    def bytes(self) -> int:
        return bytes_of(delta.values for delta in self.patch.values())


@dataclass(frozen=True)
class MergedWeights:
    """A network's weights, patched."""

    weights: Mapping[ParameterKey, Tensor]

    @property
    def bytes(self) -> int:
        return bytes_of(self.weights.values())


class InpaintNetworks:
    """Heads and patches over one model. shelf: where patched weights, of one set of LoRAs each, and patches are."""

    def __init__(self, model: SdxlModel, shelf: Shelf) -> None:
        self._model = model
        self._shelf = shelf

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
        key, size = file_key(path), parameter_bytes(self._model.unet)
        merged = self._shelf.get((MERGED, *self._model.variant, key), lambda: self._merge(self._read(path, key)), size)
        with swapped(self._model, merged.weights, (key,)):
            yield

    def _read(self, path: Path, key: FileKey) -> Patch:
        return self._shelf.get((PATCH, key), lambda: StoredPatch(read_patch(path))).patch

    def _merge(self, patch: Patch) -> MergedWeights:
        parameters = dict(self._model.unet.named_parameters())
        places = unet_places(self._model.unet.config, parameters)
        names = {PATCH_PREFIX + place.name.removeprefix(UNET_PREFIX): name for name, place in places.items()}
        return MergedWeights(
            {("unet", names[key]): _patched(parameters[names[key]], patch[key]) for key in _known(patch, names)}
        )


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
