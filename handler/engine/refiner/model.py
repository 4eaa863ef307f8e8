"""A refiner's checkpoint: its UNet, and its VAE where that is another than SDXL's."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from handler.engine.blueprint import build, read_config
from handler.engine.checkpoint import CONFIGS, SdxlModel, description, fill
from handler.engine.refiner.kinds import SDXL, Kind, kind_of, kind_of_file
from handler.engine.sources import check_checkpoint, folder_sources, single_file_sources
from handler.engine.types import Conditioning
from handler.engine.weights import WeightsError, WeightsFile

OWN_VAE = ("unet", "vae")
BASE_VAE = ("unet",)


@dataclass
class RefinerModel:
    """vae: decodes the latents this network makes; the base model's own, or the checkpoint's.

    variant: see `Patchable`.
    """

    name: str
    kind: Kind
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    variant: tuple[Hashable, ...] = ()

    @property
    def networks(self) -> dict[str, nn.Module]:
        """What LoRAs can change."""
        return {"unet": self.unet}

    def cut(self, conditioning: Conditioning, base: SdxlModel) -> Conditioning:
        """What this network is told of the base model's conditioning."""
        return self.kind.cut(conditioning, base, self.unet.config.cross_attention_dim)


def load(path: Path, base: SdxlModel, dtype: torch.dtype, configs: Path) -> RefinerModel:
    """Load a refiner beside its base model, onto the same device.

    path: one file in LDM naming, or a diffusers folder; of any kind in `kinds`. dtype: of the UNet.
    configs: see `checkpoint.load`. Raises WeightsError (damaged, hostile, or no refiner) and OutOfMemory.
    """
    with ExitStack() as files:
        file = None if path.is_dir() else files.enter_context(WeightsFile(path))
        described = description(path, configs, CONFIGS / _kind_of_checkpoint(file).folder)
        kind = kind_of(read_config(described, "unet"), base)
        settings = {name: read_config(described, name) for name in (OWN_VAE if kind.own_vae else BASE_VAE)}
        networks = {name: build(name, config) for name, config in settings.items()}
        if file is None:
            sources = folder_sources(path, networks, files)
        else:
            sources = single_file_sources(file, networks, settings)
        fill(networks, sources, base.device, dtype)
    return RefinerModel(path.name, kind, networks["unet"], networks.get("vae", base.vae))


def _kind_of_checkpoint(file: WeightsFile | None) -> Kind:
    """Of a file; folders bring their own configuration."""
    if file is None:
        return SDXL
    check_checkpoint(file)
    if any(name.startswith("control_model.") for name in file.entries):
        raise WeightsError(f"{file.name} is a ControlNet, not a checkpoint")
    return kind_of_file(file)
