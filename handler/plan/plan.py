"""The Plan: all the engine needs to render one job, resolved. Frozen, and nothing in it is optional."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from schemas.enums import ControlType, MetadataScheme, OutputFormat, Performance, RefinerSwapMethod, Sampler, Scheduler
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
class VaePlan:
    """A VAE in place of the checkpoint's own: a file or a folder. `loc` is the request field that named it."""

    path: Path
    loc: Location


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

    sigma_min and sigma_max bound the Brownian tree of the SDE samplers. denoise: 0..1, how much of what the run
    starts from is made anew; below 1 the sigmas are the last ones of a longer schedule.
    """

    sampler: Sampler
    scheduler: Scheduler
    steps: int
    sigmas: tuple[float, ...]
    sigma_min: float
    sigma_max: float
    denoise: float


@dataclass(frozen=True, eq=False)
class ControlPlan:
    """A picture that guides the sampling.

    image: uint8 [h, w, 3], as the request brought it. weight: 0..2, never 0. stop_at: the share of the timesteps,
    0..1, after which it guides no more. skip_preprocessing: whether the picture is the preprocessor's result already.
    canny_low, canny_high: 1..255, thresholds of PyraCanny. softness: 0..1, of ControlNets.
    loc: the request field that brought the picture.
    """

    kind: ControlType
    image: np.ndarray
    weight: float
    stop_at: float
    skip_preprocessing: bool
    canny_low: int
    canny_high: int
    softness: float
    loc: Location


@dataclass(frozen=True, eq=False)
class UovPlan:
    """A picture to upscale or vary.

    image: uint8 [h, w, 3], as the request brought it; `loc` is the field. upscaled: whether the upscaler enlarges it
    first. factor: how much larger it was asked to be. height, width: what it is brought to, pixels.
    diffused: False for a picture that is delivered like that. tiled: whether the VAE works in tiles.
    """

    image: np.ndarray
    loc: Location
    upscaled: bool
    factor: float
    height: int
    width: int
    diffused: bool
    tiled: bool


@dataclass(frozen=True)
class Box:
    """A part of a picture: rows top to bottom, columns left to right, the ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


@dataclass(frozen=True)
class InpaintNetworkPlan:
    """What makes the base network one that repaints: files of the models folder, and how long they are in force.

    switch: the index of the step at which the network goes on without them, 0 or more; from the number of steps on
    it never does. method: how, as for a refiner. loc: the request field that chose the files.
    """

    head: Path
    patch: Path
    loc: Location
    switch: int
    method: RefinerSwapMethod


@dataclass(frozen=True, eq=False)
class InpaintPlan:
    """A picture that is repainted in part.

    image: uint8 [h, w, 3], enlarged already where it is outpainted; `loc` is the field that brought it.
    mask: uint8 [h, w], repainted where above 127. box: the part that is worked on. upscaled: whether the upscaler
    enlarges that part first. height, width: what the part is brought to, pixels.
    filled: whether the masked place is filled with blurred surroundings. from_fill: whether sampling starts from
    the picture; from nothing else. network: none or one.
    """

    image: np.ndarray
    mask: np.ndarray
    loc: Location
    box: Box
    upscaled: bool
    height: int
    width: int
    filled: bool
    from_fill: bool
    network: tuple[InpaintNetworkPlan, ...]


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

    Width and height are in pixels and multiples of 8: of what is sampled, which inpainting puts into a picture of
    another size. base: the checkpoint, a file or a folder. refiner_switch: the share of the steps, for the metadata.
    vae, refiner, freeu, uov, inpaint: none or one; of the last two, one at most.
    """

    base: Path
    vae: tuple[VaePlan, ...]
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
    controls: tuple[ControlPlan, ...]
    uov: tuple[UovPlan, ...]
    inpaint: tuple[InpaintPlan, ...]
    output: OutputPlan
    check_safety: bool
