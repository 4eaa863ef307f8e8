"""From where each parameter of a network is read: a tensor, or a part of one, in some file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from handler.engine import ldm_keys
from handler.engine.ldm_keys import Place
from handler.engine.weight_files import weight_files
from handler.engine.weights import Entry, Staging, WeightsError, WeightsFile

SINGLE_FILE: dict[str, tuple[str, Callable[[Mapping[str, Any], Iterable[str]], dict[str, Place]]]] = {
    "unet": (ldm_keys.UNET_PREFIX, ldm_keys.unet_places),
    "vae": (ldm_keys.VAE_PREFIX, ldm_keys.vae_places),
    "text_encoder": (ldm_keys.CLIP_L_PREFIX, lambda config, names: ldm_keys.clip_l_places(names)),
    "text_encoder_2": (ldm_keys.CLIP_G_PREFIX, lambda config, names: ldm_keys.clip_g_places(names)),
}
WITHOUT_USE = ("position_ids", "logit_scale")
"""Last parts of names that files carry and the networks do not need."""

TEXT_MODEL = "text_model."


@dataclass(frozen=True)
class Source:
    """One parameter's place in one open file."""

    file: WeightsFile
    place: Place

    @property
    def entry(self) -> Entry:
        return self.file.entries[self.place.name]

    @property
    def order(self) -> tuple[str, int, int]:
        """Sorts sources so that files are read from front to back."""
        return self.file.name, self.entry.begin, self.place.part

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape the parameter would get; a 1x1 convolution's two last dimensions are dropped by `read`."""
        shape = self.entry.shape
        if self.place.parts > 1 and shape and shape[0] % self.place.parts == 0:
            shape = (shape[0] // self.place.parts, *shape[1:])
        return tuple(reversed(shape)) if self.place.transposed else shape

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether `read` can give this shape; a linear layer may be stored as a 1x1 convolution."""
        return self.shape == shape or (len(shape) == 2 and self.shape == (*shape, 1, 1))

    def read(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype, staging: Staging) -> Tensor:
        """The parameter on its device, in its computing type, owning its memory."""
        place, stay = self.place, device.type == "cpu" and self.entry.dtype == dtype
        tensor = self.file.read(place.name, place.part, place.parts, None if stay else staging)
        tensor = (tensor if stay else staging.send(tensor)).to(dtype)
        return (tensor.t() if place.transposed else tensor).contiguous().view(shape)


Sources = dict[str, Source]
"""Parameter name -> where it is read."""


def single_file_sources(
    file: WeightsFile, networks: Mapping[str, nn.Module], configs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Sources]:
    """Sources of these networks in one LDM-named file. Raises WeightsError."""
    found = {}
    for name, network in networks.items():
        prefix, places = SINGLE_FILE[name]
        wanted = places(configs[name], network.state_dict())
        found[name] = _checked(name, network, {key: Source(file, place) for key, place in wanted.items()})
        _check_rest(file, prefix, {place.name for place in wanted.values()})
    return found


def own_file_sources(
    component: str, file: WeightsFile, network: nn.Module, config: Mapping[str, Any]
) -> Sources:
    """Sources of a network in a file of its own: LDM names, with a checkpoint's prefix or without, or diffusers'.

    Raises WeightsError.
    """
    prefix, places = SINGLE_FILE[component]
    names = network.state_dict()
    wanted = {key: Source(file, place) for key, place in places(config, names).items()}
    if not _holds(file, prefix):
        own = names.keys() <= file.entries.keys()
        prefix, wanted = "", {key: _bare(source, key, prefix, own) for key, source in wanted.items()}
    sources = _checked(component, network, wanted)
    _check_rest(file, prefix, {source.place.name for source in sources.values()})
    return sources


def _bare(source: Source, key: str, prefix: str, own: bool) -> Source:
    """The source of parameter `key` without the prefix; in a file of the network's `own` names, under that name."""
    place = Place(key) if own else replace(source.place, name=source.place.name.removeprefix(prefix))
    return Source(source.file, place)


def check_checkpoint(file: WeightsFile) -> None:
    """Name what the file is when it is no checkpoint in one file. Raises WeightsError."""
    if any("lora" in name for name in file.entries):
        raise WeightsError(f"{file.name} is a LoRA, not a checkpoint")
    if not _holds(file, ldm_keys.UNET_PREFIX):
        raise WeightsError(f"{file.name} is not an SDXL checkpoint in one file")


def check_base(file: WeightsFile) -> None:
    """Name what the file is when it is something else than an SDXL base checkpoint. Raises WeightsError."""
    check_checkpoint(file)
    if _holds(file, "cond_stage_model."):
        raise WeightsError(f"{file.name} is a Stable Diffusion 1 or 2 checkpoint; only SDXL is supported")
    if _holds(file, "conditioner.embedders.0.model."):
        raise WeightsError(f"{file.name} is an SDXL refiner, not an SDXL base model")
    if not (_holds(file, ldm_keys.CLIP_L_PREFIX) and _holds(file, ldm_keys.CLIP_G_PREFIX)):
        raise WeightsError(f"{file.name} has no SDXL text encoders")
    if not _holds(file, ldm_keys.VAE_PREFIX):
        raise WeightsError(f"{file.name} has no VAE")


def _holds(file: WeightsFile, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in file.entries)


def folder_sources(path: Path, networks: Mapping[str, nn.Module], files: ExitStack) -> dict[str, Sources]:
    """Sources of all networks in a diffusers folder, whose files `files` closes. Raises WeightsError."""
    return {name: component_sources(path / name, network, files) for name, network in networks.items()}


def component_sources(folder: Path, network: nn.Module, files: ExitStack, wrapper: str = TEXT_MODEL) -> Sources:
    """Sources of one network in the folder of its own. Raises WeightsError.

    wrapper: what transformers before its version 5 put before the names of some networks' parameters.
    """
    opened = [files.enter_context(WeightsFile(path)) for path in weight_files(folder)]
    homes = {name: file for file in opened for name in file.entries}
    found = {key: next((name for name in (key, wrapper + key) if name in homes), None) for key in network.state_dict()}
    wanted = {key: Source(homes[name], Place(name)) for key, name in found.items() if name is not None}
    sources = _checked(folder.name, network, wanted)
    for file in opened:
        _check_rest(file, "", {source.place.name for source in sources.values()})
    return sources


def _checked(component: str, network: nn.Module, wanted: Sources) -> Sources:
    """`wanted`, when it gives every parameter of the network in its shape."""
    for key, parameter in network.state_dict().items():
        source = wanted.get(key)
        if source is None or source.place.name not in source.file.entries:
            place = source.place.name if source else key
            raise WeightsError(f"{component}: the checkpoint has no tensor {place!r}")
        if not source.entry.dtype.is_floating_point:
            raise WeightsError(f"{component}: tensor {source.place.name!r} is not of a floating point type")
        if not source.fits(tuple(parameter.shape)):
            raise WeightsError(
                f"{component}: tensor {source.place.name!r} is {list(source.entry.shape)} "
                f"where this network needs {list(parameter.shape)}"
            )
    return wanted


def _check_rest(file: WeightsFile, prefix: str, used: set[str]) -> None:
    for name in file.entries:
        if name.startswith(prefix) and name not in used and name.rpartition(".")[2] not in WITHOUT_USE:
            raise WeightsError(f"{file.name} holds a tensor no SDXL network has: {name!r}")


def materialise(
    network: nn.Module, sources: Sources, device: torch.device, dtype: torch.dtype, staging: Staging
) -> None:
    """Read every parameter of a network on the meta device onto `device`."""
    shapes = {key: tuple(parameter.shape) for key, parameter in network.state_dict().items()}
    in_file_order = sorted(sources.items(), key=lambda item: item[1].order)
    state = {key: source.read(shapes[key], device, dtype, staging) for key, source in in_file_order}
    assign(network, state, device)


def assign(network: nn.Module, state: Mapping[str, Tensor], device: torch.device) -> None:
    """Make `state` the parameters of a network on the meta device, and make the buffers no file has."""
    network.load_state_dict(state, strict=True, assign=True)
    for module in network.modules():
        if "position_ids" in module._buffers:
            # CLIP counts positions from a buffer it fills on construction.
            count = module.position_ids.shape[-1]
            module.position_ids = torch.arange(count, device=device).expand(1, -1)
