"""The Plan: all the engine needs to render one job, resolved. Frozen, and nothing in it is optional."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.enums import MetadataScheme, OutputFormat, Performance, RefinerSwapMethod, Sampler, Scheduler
from schemas.errors import Location


@dataclass(frozen=True)
class LoraPlan:
    """One LoRA file and its weight; `loc` is the request field that named it, for error messages."""

    path: Path
    scale: float
    loc: Location


@dataclass(frozen=True)
class FreeUPlan:
    """FreeU's factors. b: backbone, s: skip; 1 is for blocks with 4 times the base channels, 2 for 2 times."""

    b1: float
    b2: float
    s1: float
    s2: float


@dataclass(frozen=True)
class RefinerPlan:
    """A second network that takes over from the base network.

    path: its checkpoint, a file or a folder; `loc` is the request field that named it.
    method: how it takes over; one with a VAE of its own knows only `vae`. switch: the index of the step at which
    it does, 0 or more; from the number of steps on it never does. overwritten: whether the request named the step.
    """

    path: Path
    loc: Location
    method: RefinerSwapMethod
    switch: int
    overwritten: bool


@dataclass(frozen=True)
class GuidancePlan:
    """Fooocus's guidance settings.

    cfg: classifier-free guidance scale, 1..30; exactly 1 means no negative pass.
    sharpness: 0..30; adaptive_cfg: the scale mimicked early in sampling, 1..30.
    adm_positive, adm_negative: factors on the original size told to the network; adm_end: the share of
    timesteps (0..1) during which they are told.
    """

    cfg: float
    sharpness: float
    adaptive_cfg: float
    adm_positive: float
    adm_negative: float
    adm_end: float


@dataclass(frozen=True)
class SamplingPlan:
    """sigmas: k-diffusion noise levels, `steps + 1` of them, falling, the last one 0.

    sigma_min and sigma_max bound the Brownian tree of the SDE samplers.
    """

    sampler: Sampler
    scheduler: Scheduler
    steps: int
    sigmas: tuple[float, ...]
    sigma_min: float
    sigma_max: float


@dataclass(frozen=True)
class ImagePlan:
    """One picture of the job.

    seed: 0 .. 2**63 - 1, seeds the start noise and the sampler's noise.
    positive, negative: the texts to encode, each on its own; the conditioning is their concatenation.
    positive_pooled, negative_pooled: of how many leading texts the pooled vectors are summed.
    prompt, negative_prompt, expansion, styles: what the texts were made from, for the metadata.
    """

    seed: int
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    positive_pooled: int
    negative_pooled: int
    prompt: str
    negative_prompt: str
    expansion: str
    styles: tuple[str, ...]


@dataclass(frozen=True)
class OutputPlan:
    """How pictures leave the worker. `stem` is the start of each file name; metadata `()` writes none."""

    format: OutputFormat
    stem: str
    metadata: tuple[MetadataScheme, ...]
    preview: bool


@dataclass(frozen=True)
class Plan:
    """One job, resolved.

    Width and height are in pixels and multiples of 8. refiner_switch: the share of the steps, for the metadata.
    refiner, freeu: none or one.
    """

    performance: Performance
    width: int
    height: int
    clip_skip: int
    refiner_switch: float
    refiner: tuple[RefinerPlan, ...]
    freeu: tuple[FreeUPlan, ...]
    guidance: GuidancePlan
    sampling: SamplingPlan
    loras: tuple[LoraPlan, ...]
    images: tuple[ImagePlan, ...]
    output: OutputPlan
    check_safety: bool
