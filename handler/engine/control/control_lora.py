"""Control-LoRAs (Stability AI 2023, https://huggingface.co/stabilityai/control-lora).

A Control-LoRA is a ControlNet whose larger weights are the UNet's plus a product of two thin matrices, `up @ down`.
The rest it brings whole: biases, norms, the hint's embedding and the convolutions before the residuals.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from handler.engine.ldm_keys import Place
from handler.engine.sources import Source
from handler.engine.weights import Staging, WeightsError, WeightsFile

MARKER = "lora_controlnet"
"""The name of a tensor that every such file has and that means nothing else."""


def low_rank_state(
    file: WeightsFile, names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], unet: UNet2DConditionModel
) -> tuple[dict[str, Tensor], frozenset[str]]:
    """All parameters of the ControlNet, and the names of those that are the UNet's own tensors.

    names: parameter -> LDM name; shapes: of the same parameters. Raises WeightsError.
    """
    own = dict(unet.named_parameters())
    staging = Staging(unet.device)
    state: dict[str, Tensor] = {}
    shared = set()
    for parameter, name in names.items():
        base = own.get(parameter)
        low_rank = tuple(f"{name.removesuffix('.weight')}.{part}" for part in ("up", "down"))
        if name in file.entries:
            state[parameter] = _whole(file, name, shapes[parameter], unet, staging)
        elif base is None or tuple(base.shape) != shapes[parameter]:
            raise WeightsError(f"{file.name} is no Control-LoRA for this network: it has no tensor {name!r}")
        elif name.endswith(".weight") and all(part in file.entries for part in low_rank):
            state[parameter] = _merged(file, *low_rank, base.data)
        else:
            state[parameter] = base.data
            shared.add(parameter)
    return state, frozenset(shared)


def _whole(
    file: WeightsFile, name: str, shape: tuple[int, ...], unet: UNet2DConditionModel, staging: Staging
) -> Tensor:
    source = Source(file, Place(name))
    if not source.entry.dtype.is_floating_point or not source.fits(shape):
        raise _misfit(file, name)
    return source.read(shape, unet.device, unet.dtype, staging)


def _merged(file: WeightsFile, up: str, down: str, base: Tensor) -> Tensor:
    """base + up @ down in float32, in the type and memory format of `base`."""
    entries = file.entries[up], file.entries[down]
    if any(not entry.dtype.is_floating_point or len(entry.shape) < 2 for entry in entries):
        raise _misfit(file, up)
    first, second = (file.read(name).to(base.device).float().flatten(1) for name in (up, down))
    if first.shape[1] != second.shape[0] or (len(first), second.shape[1]) != (len(base), base[0].numel()):
        raise _misfit(file, up)
    merged = base.to(torch.float32, copy=True)
    merged += (first @ second).view(base.shape)
    return merged.to(base.dtype)


def _misfit(file: WeightsFile, name: str) -> WeightsError:
    return WeightsError(f"{file.name} is a Control-LoRA for another network: tensor {name!r} does not fit")
