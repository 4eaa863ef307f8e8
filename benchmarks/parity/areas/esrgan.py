"""The upscaler: whole pictures, and the tile loop with tiles of other sizes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.vectors import EXPECTED, INPUT, Case, load_weights
from handler.engine.esrgan import Esrgan, esrgan
from handler.engine.layout import batch_of_one
from handler.engine.upscaler import Upscaler

IMAGE, MODEL = "image.png", "model.safetensors"


def whole(case: Case, networks: Networks) -> Results:
    stride = case.parameters.get("stride", 1)
    return {"output_uint8": Upscaler(_network(case)).upscale(case.picture(IMAGE))[::stride, ::stride]}


def in_tiles(case: Case, networks: Networks) -> Results:
    given = case.parameters
    upscaler = Upscaler(_network(case), overlap=given["overlap"])
    enlarged = upscaler.enlarge(_floats(case), given["tile"])
    return {"output": enlarged[:, :, :: given["stride"], :: given["stride"]]}


def _floats(case: Case) -> Tensor:
    return batch_of_one(torch.tensor(case.picture(IMAGE)).float() / 255.0)


def any_upscaler(case: Case) -> Upscaler:
    """That of the set, for cases of other areas."""
    return Upscaler(_network(case))


def _network(case: Case) -> Esrgan:
    return esrgan(load_weights(model_of_set(case)))


def model_of_set(case: Case) -> Path:
    """The model of the case, or of the one case of the area that has one."""
    folders = [case.folder, *sorted(path.parent for path in (case.root / "esrgan").glob(f"*/{MODEL}"))]
    found = [folder / MODEL for folder in folders if (folder / MODEL).is_file()]
    if not found:
        raise FileNotFoundError(f"no case of this set has a {MODEL}")
    return found[0]


KINDS = (
    Kind(lambda case: case.has(INPUT, IMAGE) and case.has(EXPECTED, "output_uint8"), whole),
    Kind(lambda case: case.has(INPUT, IMAGE) and case.has(EXPECTED, "output"), in_tiles),
)
