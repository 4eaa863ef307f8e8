"""Small pictures of latents while a job runs, made without the VAE.

Three ways, the first that is there: a checkpoint's own linear map (`preview.json`), Fooocus's approximate decoder
(`vae_approx/xlvaeapp.pth`), and a linear map that suits SDXL's latents.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, leaky_relu, pad

from handler.engine.weights import WeightsError
from schemas.catalogue import by_name

log = logging.getLogger(__name__)

ToRgb = Callable[[Tensor], Tensor]
"""Latents [1, 4, h, w] as the sampler has them -> float32 [1, 3, y, x] in 0..255, not yet clamped."""

# Published for SDXL in diffusers' documentation (Pipeline callbacks, latents_to_rgb).
SDXL_FACTORS = ((60.0, 60.0, 60.0), (-60.0, -5.0, 10.0), (25.0, 15.0, -5.0), (-70.0, -50.0, -35.0))
SDXL_BIAS = (150.0, 140.0, 130.0)

# Published for SD 1.x, for colours in -1..1:
# https://discuss.huggingface.co/t/decoding-latents-to-rgb-without-upscaling/23204
SD15_FACTORS = ((38.0, 26.4, 26.5), (23.8, 36.5, 22.1), (-20.1, 24.1, 33.7), (-23.5, -34.6, -60.3))
SD15_BIAS = (127.5, 127.5, 127.5)

OWN_MAP = "preview.json"
APPROXIMATE = "vae_approx/xlvaeapp.pth"
APPROXIMATE_SD15 = "vae_approx/vaeapp_sd15.pth"
PADDING = 11
LAYERS = 8

MIN_SIDE, MAX_SIDE = 128, 256
MAX_BYTES = 8 * 1024
QUALITIES = (75, 60, 45, 30, 15, 5)


class Preview:
    """Renders previews of one checkpoint's latents."""

    def __init__(self, to_rgb: ToRgb) -> None:
        self._to_rgb = to_rgb

    @classmethod
    def load(cls, checkpoint: Path, roots: Sequence[Path]) -> Preview:
        """The best there is for a checkpoint. roots: the models folders. A damaged file is passed over with a warning.

        checkpoint: its file or folder; a folder may hold a map of its own.
        """
        usual = linear(torch.tensor(SDXL_FACTORS), torch.tensor(SDXL_BIAS))
        return cls(_or_usual(lambda: _own_map(checkpoint) or _decoder(roots, APPROXIMATE), usual))

    @classmethod
    def of_sd15(cls, roots: Sequence[Path]) -> Preview:
        """The best there is for latents of SD 1.5. As `load`."""
        usual = linear(torch.tensor(SD15_FACTORS), torch.tensor(SD15_BIAS))
        return cls(_or_usual(lambda: _decoder(roots, APPROXIMATE_SD15), usual))

    @torch.no_grad()
    def pixels(self, latent: Tensor) -> np.ndarray:
        """The first of latents [n, 4, h, w] in the sampler's scale, as uint8 [y, x, 3]; truncated, not rounded."""
        rgb = self._to_rgb(latent[:1].float()).nan_to_num().clamp(0.0, 255.0)
        return rgb[0].permute(1, 2, 0).to(torch.uint8).cpu().numpy()

    def jpeg(self, latent: Tensor) -> bytes:
        """A JPEG of at most 8 KB whose longer side is 128 to 256 pixels."""
        return small_jpeg(self.pixels(latent))


def small_jpeg(pixels: np.ndarray) -> bytes:
    """uint8 [h, w, 3] as a JPEG of at most 8 KB whose longer side is 128 to 256 pixels."""
    picture = Image.fromarray(pixels)
    longest = max(picture.size)
    scale = max(MIN_SIDE, min(MAX_SIDE, longest)) / longest
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    return _encoded(picture.resize(size, Image.Resampling.BILINEAR))


def _or_usual(find: Callable[[], ToRgb | None], usual: ToRgb) -> ToRgb:
    try:
        return find() or usual
    except WeightsError as error:
        log.warning("previews use a linear map: %s", error)
        return usual


def _own_map(checkpoint: Path) -> ToRgb | None:
    path = checkpoint / OWN_MAP
    return read_map(path) if path.is_file() else None


def _decoder(roots: Sequence[Path], name: str) -> ToRgb | None:
    path = next((root / name for root in roots if (root / name).is_file()), None)
    known = by_name(name)
    return approximate(read_decoder(path, known.sha256 if known else None)) if path else None


def _encoded(picture: Image.Image) -> bytes:
    for quality in QUALITIES:
        target = io.BytesIO()
        picture.save(target, "JPEG", quality=quality)
        if target.tell() <= MAX_BYTES:
            break
    return target.getvalue()


def linear(factors: Tensor, bias: Tensor) -> ToRgb:
    """factors: [4, 3], bias: [3]; red, green and blue in 0..255 are `latent @ factors + bias`."""

    def to_rgb(latent: Tensor) -> Tensor:
        mixed = torch.einsum("nchw,cr->nrhw", latent, factors.to(latent.device))
        return mixed + bias.to(latent.device)[:, None, None]

    return to_rgb


def read_map(path: Path) -> ToRgb:
    """`{"factors": 4 rows of 3, "bias": 3}`, see `linear`. Raises WeightsError when the file is anything else."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        factors, bias = (torch.tensor(record[key], dtype=torch.float32) for key in ("factors", "bias"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{path.name} is damaged") from error
    if factors.shape != (4, 3) or bias.shape != (3,):
        raise WeightsError(f"{path.name} needs 4 rows of 3 factors and a bias of 3")
    return linear(factors, bias)


def approximate(weights: Mapping[str, Tensor]) -> ToRgb:
    """Fooocus's approximate decoder: twice the latent's size, eight convolutions, each with a leaky ReLU."""

    def to_rgb(latent: Tensor) -> Tensor:
        state = pad(interpolate(latent, scale_factor=2.0, mode="nearest"), (PADDING,) * 4)
        for layer in range(1, LAYERS + 1):
            kernel, bias = (weights[f"conv{layer}.{part}"].to(state) for part in ("weight", "bias"))
            state = leaky_relu(conv2d(state, kernel, bias), 0.1)
        return state * 127.5 + 127.5

    return to_rgb


def read_decoder(path: Path, sha256: str | None) -> dict[str, Tensor]:
    """The pickled weights of the approximate decoder. Raises WeightsError when it is not the file of this hash."""
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WeightsError(f"{path.name} is not the file of the catalogue")
    try:
        stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError) as error:
        raise WeightsError(f"{path.name} is damaged") from error
    return {name: value.float() for name, value in stored.items()}
