"""SDXL ControlNets (Zhang et al. 2023, https://arxiv.org/abs/2302.05543) in every form they are published in.

One file with LDM's or diffusers' names, a diffusers folder, or a Control-LoRA: a file that says only how the
ControlNet differs from the UNet it steers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from handler.engine.blueprint import read_config, shapes_only
from handler.engine.control.control_lora import MARKER, low_rank_state
from handler.engine.control.names import HINT_FIRST, controlnet_names, hint_channels
from handler.engine.device import memory_format, require_memory
from handler.engine.ldm_keys import Place
from handler.engine.shelf import bytes_of, parameter_bytes
from handler.engine.sources import Source, Sources, assign, component_sources, materialise
from handler.engine.weights import Staging, WeightsError, WeightsFile

PREFIXES = ("", "control_model.", "diffusion_model.control_model.")
"""What stands before LDM's names in ControlNets of different origin."""
LDM_MARK = "input_hint_block.0.weight"
DIFFUSERS_MARK = f"{HINT_FIRST}.weight"
ENCODER = ("conv_in", "time_embedding", "add_embedding", "down_blocks", "mid_block")
"""What a ControlNet has as the UNet has it."""
SHARED_SETTINGS = (
    "cross_attention_dim", "addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim",
    "block_out_channels", "down_block_types", "layers_per_block", "in_channels",
)  # fmt: skip
"""Where a ControlNet differs from the UNet in one of these, its residuals or its inputs do not fit."""


@dataclass(frozen=True)
class ControlNet:
    """network: with the embedding of hints taken out of it, which is `embed`. bytes: of memory it alone holds."""

    network: ControlNetModel
    embed: nn.Module
    bytes: int


def load_controlnet(path: Path, unet: UNet2DConditionModel) -> ControlNet:
    """Load a ControlNet beside the UNet it steers: onto the same device, in the same computing type.

    path: a safetensors file or a diffusers folder. A Control-LoRA is merged with the weights the UNet has now.
    Raises WeightsError (damaged, hostile, no ControlNet, or one for another network) and OutOfMemory.
    """
    with ExitStack() as files:
        if path.is_dir():
            network = _described(path, unet)
            with _named_component(path):
                sources = component_sources(path, network, files)
            return _filled(network, sources, unet)
        file = files.enter_context(WeightsFile(path))
        network = _like(unet, _hint_channels(file))
        if MARKER in file.entries:
            return _merged(network, file, unet)
        return _filled(network, _single_file_sources(network, file), unet)


def is_control_lora(path: Path) -> bool:
    """Whether what is loaded depends on the UNet's weights. Raises WeightsError for a file that cannot be read."""
    if path.is_dir():
        return False
    with WeightsFile(path) as file:
        return MARKER in file.entries


def _hint_channels(file: WeightsFile) -> tuple[int, ...]:
    shapes = {name: entry.shape for name, entry in file.entries.items()}
    prefix = next((prefix for prefix in PREFIXES if prefix + LDM_MARK in shapes), "")
    return hint_channels(shapes, prefix)


def _like(unet: UNet2DConditionModel, hints: tuple[int, ...]) -> ControlNetModel:
    """A ControlNet of the UNet's layout, on the meta device. hints: channels of the hint's embedding."""
    with shapes_only():
        options = {"load_weights_from_unet": False, "conditioning_embedding_out_channels": hints}
        network = ControlNetModel.from_unet(unet, **options)
        # diffusers' own parts do not follow a UNet whose time embedding has a width of its own.
        encoder = UNet2DConditionModel.from_config(unet.config)
    for part in ENCODER:
        setattr(network, part, getattr(encoder, part))
    return network.eval().requires_grad_(False)


def _described(folder: Path, unet: UNet2DConditionModel) -> ControlNetModel:
    """The ControlNet a diffusers folder describes, on the meta device."""
    config = read_config(folder.parent, folder.name)
    if config.get("_class_name", "ControlNetModel") != "ControlNetModel":
        raise WeightsError(f"{folder.name} is no ControlNet that is supported, but a {config['_class_name']}")
    try:
        with shapes_only():
            network = ControlNetModel.from_config(config).eval().requires_grad_(False)
    except Exception as error:
        raise WeightsError(f"the configuration of {folder.name} describes no ControlNet") from error
    for name in SHARED_SETTINGS:
        if _plain(network.config[name]) != _plain(unet.config[name]):
            raise WeightsError(f"{folder.name} is a ControlNet for another network: {name} differs")
    return network


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


@contextmanager
def _named_component(folder: Path) -> Iterator[None]:
    """Errors about a folder's files name the folder."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{folder.name}: {error}") from error


def _single_file_sources(network: ControlNetModel, file: WeightsFile) -> Sources:
    """Where each parameter is in one file, by whichever names the file has."""
    parameters = network.state_dict()
    if DIFFUSERS_MARK in file.entries:
        names = {parameter: parameter for parameter in parameters}
    else:
        prefix = next((prefix for prefix in PREFIXES if prefix + LDM_MARK in file.entries), None)
        if prefix is None:
            raise WeightsError(f"{file.name} is no ControlNet")
        ours = controlnet_names(network.config, parameters)
        names = {parameter: prefix + ours[parameter] for parameter in parameters}
    return {parameter: _source(file, name, parameters[parameter]) for parameter, name in names.items()}


def _source(file: WeightsFile, name: str, parameter: Tensor) -> Source:
    source = Source(file, Place(name))
    if name not in file.entries:
        raise WeightsError(f"{file.name} is no ControlNet for SDXL: it has no tensor {name!r}")
    if not source.entry.dtype.is_floating_point or not source.fits(tuple(parameter.shape)):
        raise WeightsError(
            f"{file.name} is a ControlNet for another network: tensor {name!r} is {list(source.entry.shape)} "
            f"where {list(parameter.shape)} is needed"
        )
    return source


def _filled(network: ControlNetModel, sources: Sources, unet: UNet2DConditionModel) -> ControlNet:
    size = sum(p.numel() for p in network.parameters()) * unet.dtype.itemsize
    require_memory(unet.device, size)
    materialise(network, sources, unet.device, unet.dtype, Staging(unet.device))
    return _ready(network, parameter_bytes(network))


def _merged(network: ControlNetModel, file: WeightsFile, unet: UNet2DConditionModel) -> ControlNet:
    names = controlnet_names(network.config, network.state_dict())
    shapes = {parameter: tuple(value.shape) for parameter, value in network.state_dict().items()}
    require_memory(unet.device, sum(p.numel() for p in network.parameters()) * unet.dtype.itemsize)
    state, shared = low_rank_state(file, names, shapes, unet)
    assign(network, state, unet.device)
    return _ready(network, bytes_of(value for name, value in state.items() if name not in shared))


def _ready(network: ControlNetModel, size: int) -> ControlNet:
    """Hints are the same all the way, so they are embedded once and not in every call."""
    network.to(memory_format=memory_format(network.device))
    embed = network.controlnet_cond_embedding
    network.controlnet_cond_embedding = nn.Identity()
    return ControlNet(network, embed, size)
