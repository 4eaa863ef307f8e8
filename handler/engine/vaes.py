"""VAEs beside a checkpoint's own: a job may name one for its pictures to be encoded and decoded with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL

from handler.engine.blueprint import build, read_config
from handler.engine.checkpoint import SdxlModel, fill
from handler.engine.lora.file import file_key
from handler.engine.shelf import Shelf, parameter_bytes
from handler.engine.sources import component_sources, own_file_sources
from handler.engine.weight_files import weight_files
from handler.engine.weights import WeightsError, WeightsFile, reported_at
from handler.plan.plan import VaePlan

NAME = "vae"
LATENT_CHANNELS = 4
LEVELS = 4
"""So that a latent pixel is eight pixels wide."""


@dataclass(frozen=True)
class OwnVae:
    """A VAE of the models folder."""

    network: AutoencoderKL

    @property
    def bytes(self) -> int:
        return parameter_bytes(self.network)


class Vaes:
    """Gives a model another VAE for the time of a job. shelf: where they are kept."""

    def __init__(self, model: SdxlModel, shelf: Shelf) -> None:
        self._model = model
        self._shelf = shelf

    @contextmanager
    def worn(self, plans: Sequence[VaePlan]) -> Iterator[None]:
        """Inside, the model's VAE is the one that is planned, if one is.

        Raises ModelLoadError at the plan's field for what is no VAE of SDXL's latents, and OutOfMemory.
        """
        before = self._model.vae
        for plan in plans:
            self._model.vae = self._of(plan)
        try:
            yield
        finally:
            self._model.vae = before

    def _of(self, plan: VaePlan) -> AutoencoderKL:
        with reported_at(plan.loc):
            path = plan.path
            files = weight_files(path) if path.is_dir() else [path]
            key = (NAME, *map(file_key, files))
            return self._shelf.get(key, lambda: OwnVae(load(path, self._model))).network


def load(path: Path, model: SdxlModel) -> AutoencoderKL:
    """A VAE onto the model's device, in the number type of the model's own.

    path: one file, in LDM or diffusers naming, of a VAE built like the model's own; or a diffusers folder.
    Raises WeightsError (damaged, hostile, or another kind of VAE) and OutOfMemory.
    """
    whole = path.is_dir()
    config = read_config(path.parent, path.name) if whole else dict(model.vae.config)
    _check(path.name, config)
    with ExitStack() as files:
        networks = {NAME: build(NAME, config)}
        if whole:
            sources = {NAME: component_sources(path, networks[NAME], files)}
        else:
            file = files.enter_context(WeightsFile(path))
            sources = {NAME: own_file_sources(NAME, file, networks[NAME], config)}
        fill(networks, sources, model.device, model.unet.dtype)
    return networks[NAME]  # type: ignore[return-value]


def _check(name: str, config: dict[str, Any]) -> None:
    blocks = config.get("block_out_channels", ())
    if config.get("latent_channels") != LATENT_CHANNELS or len(blocks) != LEVELS:
        raise WeightsError(f"{name} is a VAE of other latents than SDXL's")
