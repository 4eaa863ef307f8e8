"""SDXL checkpoints: one safetensors file in LDM naming, or a diffusers folder, into the networks that render.

Nothing is downloaded. Everything a file claims is compared with the networks its configuration describes before
memory is taken; then each tensor is read once, in file order, and becomes the parameter itself. Memory: what the
networks weigh in their computing type (SDXL: 13.9 GB in float32 on a CPU; on a GPU 5.1 GB of UNet in float16,
3.3 GB of text encoders, 0.2 GB of VAE) plus a staging buffer as large as the largest tensor, two
for a GPU.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTokenizer
from transformers.models.clip.modeling_clip import CLIPTextModel, CLIPTextModelWithProjection

from handler.engine.blueprint import COMPONENTS, build, check_sdxl, read_config
from handler.engine.device import memory_format, require_memory, vae_dtype
from handler.engine.sources import Sources, check_base, folder_sources, materialise, single_file_sources
from handler.engine.weight_files import folder_files
from handler.engine.weights import Staging, WeightsError, WeightsFile, reported_at
from schemas.errors import Location, ModelMissing

CONFIGS = Path(__file__).parent / "configs"
BUILT_IN = CONFIGS / "sdxl"
BASE_MODEL: Location = ("body", "advanced", "base_model")
CLIP_G_PAD = "!"
"""What CLIP-G is padded with; its id is 0 in CLIP's vocabulary."""


@dataclass
class SdxlModel:
    """The networks of one checkpoint, on one device, for inference only.

    path: the file or folder they came from. variant: the weight patches in force, `()` for none; whatever is
    remembered about these networks (text encodings) must be remembered per variant.
    """

    name: str
    path: Path
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    text_encoder_2: CLIPTextModelWithProjection
    tokenizer: CLIPTokenizer
    tokenizer_2: CLIPTokenizer
    variant: tuple[Hashable, ...] = ()

    @property
    def device(self) -> torch.device:
        return self.unet.device

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The networks by their diffusers names."""
        return {name: getattr(self, name) for name in COMPONENTS}


def load(
    path: Path,
    device: torch.device,
    dtype: torch.dtype,
    configs: Path | None = None,
    *,
    loc: Location = BASE_MODEL,
) -> SdxlModel:
    """Load a checkpoint.

    dtype: of the UNet; the VAE has `device.vae_dtype` and the text encoders float32, as in Fooocus.
    configs: the models folder's `configs`; beside it lies `clip/tokenizer` with CLIP's vocab.json and merges.txt.
    For a single file `x.safetensors`, `configs/x/` may hold a diffusers folder without weights that describes
    another layout than SDXL's own, or has tokenizers of its own.
    loc: the request field to blame. Raises ModelMissing (no such file, or no tokenizer for it), ModelLoadError
    (damaged, hostile, or no SDXL base model) and OutOfMemory.
    """
    if not path.exists():
        raise ModelMissing(f"The checkpoint {path.name} is not installed")
    with reported_at(loc), ExitStack() as files:
        described = description(path, configs)
        settings = {name: read_config(described, name) for name in COMPONENTS}
        check_sdxl(settings)
        networks = {name: build(name, config) for name, config in settings.items()}
        tokenizers = _tokenizers(described, configs, settings)
        if path.is_dir():
            sources = folder_sources(path, networks, files)
        else:
            file = files.enter_context(WeightsFile(path))
            check_base(file)
            sources = single_file_sources(file, networks, settings)
        fill(networks, sources, device, dtype)
    return SdxlModel(name=path.stem, path=path, **networks, **tokenizers)


def check_files(path: Path) -> None:
    """Raise ModelMissing unless the checkpoint's files are all there, each as long as its header says."""
    try:
        for file in [path] if path.is_file() else folder_files(path, COMPONENTS):
            WeightsFile(file).close()
    except WeightsError as error:
        raise ModelMissing(f"The checkpoint {path} is not complete: {error}. Copy or fetch it again") from error


def description(path: Path, configs: Path | None, built_in: Path = BUILT_IN) -> Path:
    """The folder whose config.json files describe the checkpoint's networks.

    Of a file that lies in a diffusers folder, as in many cached models, it is that folder.
    """
    if path.is_dir():
        return path
    if (path.parent / "model_index.json").is_file():
        return path.parent
    own = configs / path.stem if configs else None
    return own if own and (own / "unet" / "config.json").is_file() else built_in


def fill(
    networks: Mapping[str, nn.Module], sources: Mapping[str, Sources], device: torch.device, dtype: torch.dtype
) -> None:
    """Read every parameter of every network onto the device. dtype: of the UNet. Raises OutOfMemory."""
    dtypes = dict.fromkeys(networks, torch.float32) | {"unet": dtype, "vae": vae_dtype(device)}
    sizes = (sum(p.numel() for p in net.parameters()) * dtypes[name].itemsize for name, net in networks.items())
    require_memory(device, sum(sizes))
    staging = Staging(device)
    for name, network in networks.items():
        materialise(network, sources[name], device, dtypes[name], staging)
        network.to(memory_format=memory_format(device))


def _tokenizers(
    described: Path, configs: Path | None, settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, CLIPTokenizer]:
    if (described / "tokenizer").is_dir() and (described / "tokenizer_2").is_dir():
        found = {name: _tokenizer(described / name) for name in ("tokenizer", "tokenizer_2")}
    else:
        shared = _shared_tokenizer(configs)
        found = {"tokenizer": _tokenizer(shared), "tokenizer_2": _tokenizer(shared, pad_token=CLIP_G_PAD)}
    for tokenizer, encoder in (("tokenizer", "text_encoder"), ("tokenizer_2", "text_encoder_2")):
        if len(found[tokenizer]) > settings[encoder].get("vocab_size", 49408):
            raise WeightsError(f"{tokenizer} has more tokens than {encoder} knows")
    return found


def _shared_tokenizer(configs: Path | None) -> Path:
    folder = configs.parent / "clip" / "tokenizer" if configs else None
    if folder is None or not all((folder / name).is_file() for name in ("vocab.json", "merges.txt")):
        raise ModelMissing(
            "CLIP's tokenizer (clip/tokenizer/vocab.json and merges.txt in the models folder) is not installed; "
            "run: python -m builder fetch clip/tokenizer/vocab.json clip/tokenizer/merges.txt"
        )
    return folder


def _tokenizer(folder: Path, **options: str) -> CLIPTokenizer:
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True, **options)
    except Exception as error:
        raise WeightsError(f"the tokenizer in {folder.name} cannot be read") from error
