"""The kinds of networks that can refine, told from their configuration, and what each is told.

No refiner's text encoders are used: what the base model's made of the prompt is cut to what the network knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from handler.engine.checkpoint import SdxlModel
from handler.engine.ldm_keys import UNET_PREFIX
from handler.engine.sampling.calls import DescribeSize, Side, SizeIds, sdxl_ids
from handler.engine.text_encoder import text_model
from handler.engine.types import Conditioning
from handler.engine.weights import WeightsError, WeightsFile

Config = Mapping[str, Any]
CutText = Callable[[Conditioning, SdxlModel, int], Conditioning]
"""(the base model's conditioning, that model, the dimension of the refiner's text) -> the refiner's conditioning."""

REFINER_LABELS = 2560
"""Width of what the SDXL refiner is told beside the prompt: the pooled text and five numbers of 256 each."""


@dataclass(frozen=True)
class Kind:
    """What a refiner is.

    folder: the built-in configuration. ids: how many size ids it is told. own_vae: whether its latents are its own.
    """

    folder: str
    ids: int
    describe: DescribeSize
    cut: CutText
    own_vae: bool = False


def whole(conditioning: Conditioning, base: SdxlModel, dim: int) -> Conditioning:
    """SDXL knows all of it."""
    return conditioning


def last_channels(conditioning: Conditioning, base: SdxlModel, dim: int) -> Conditioning:
    """The SDXL refiner knows only CLIP-G, which comes last."""
    return Conditioning(conditioning.cond[..., -dim:], conditioning.pooled)


def first_channels(conditioning: Conditioning, base: SdxlModel, dim: int) -> Conditioning:
    """SD 1.5 knows only CLIP-L, which comes first, after its final layer norm; it knows no pooled text."""
    norm = text_model(base.text_encoder).final_layer_norm
    return Conditioning(_normed(conditioning.cond[..., :dim], norm), conditioning.pooled[:, :0])


def _normed(cond: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
    return norm(cond.to(norm.weight)).to(cond.dtype)


def aesthetic_ids(height: int, width: int, side: Side) -> tuple[SizeIds, SizeIds]:
    """What the SDXL refiner is told: size, crop and how beautiful the picture is, the same all the way."""
    ids = (height, width, 0, 0, side.aesthetic)
    return ids, ids


def no_ids(height: int, width: int, side: Side) -> tuple[SizeIds, SizeIds]:
    """SD 1.5 is told nothing."""
    return (), ()


SDXL = Kind("sdxl", 6, sdxl_ids, whole)
SDXL_REFINER = Kind("sdxl_refiner", 5, aesthetic_ids, last_channels)
SD15 = Kind("sd15", 0, no_ids, first_channels, own_vae=True)


def kind_of_file(file: WeightsFile) -> Kind:
    """By the one tensor in which the kinds differ."""
    labels = file.entries.get(f"{UNET_PREFIX}label_emb.0.0.weight")
    if labels is None:
        return SD15
    return SDXL_REFINER if labels.shape[-1:] == (REFINER_LABELS,) else SDXL


def kind_of(unet: Config, base: SdxlModel) -> Kind:
    """The kind of a UNet of this configuration. Raises WeightsError for one that cannot go on from this base model."""
    clip_l, clip_g = base.text_encoder.config, base.text_encoder_2.config
    all_channels = clip_l.hidden_size + clip_g.hidden_size
    offered = ((SDXL, [all_channels]), (SDXL_REFINER, range(1, all_channels + 1)), (SD15, [clip_l.hidden_size]))
    labels = unet.get("projection_class_embeddings_input_dim") or 0
    for kind, dims in offered:
        told = kind.ids and clip_g.projection_dim + kind.ids * (unet.get("addition_time_embed_dim") or 0)
        if unet.get("cross_attention_dim") in dims and labels == told and unet.get("in_channels") == 4:
            return kind
    raise WeightsError("this is no refiner for SDXL: its network does not fit the prompt or the latents")
