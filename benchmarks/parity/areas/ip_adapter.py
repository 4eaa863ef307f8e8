"""Image prompts: the Resampler, and what the image encoder is given. Their attention is not Fooocus's on purpose."""

from __future__ import annotations

import numpy as np

from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import CPU, Networks
from benchmarks.parity.vectors import INPUT, Case
from handler.engine.control.image_encoder import prepared
from handler.engine.control.resampler import resampler_of
from handler.engine.sources import assign
from handler.pixels.resize import ResizeMode, resize

WEIGHT = "weight."
SIDE = 224


def tokens(case: Case, networks: Networks) -> Results:
    state = {name.removeprefix(WEIGHT): value for name, value in case.tensors.items() if name.startswith(WEIGHT)}
    network = resampler_of({name: tuple(value.shape) for name, value in state.items()}, case.parameters["dim_head"])
    assign(network, state, CPU)
    return {"tokens": network(case.tensors["image_features"])}


def pixels(case: Case, networks: Networks) -> Results:
    """Recorded on a grid."""
    (name,) = case.files(INPUT)
    picture, stride = case.picture(name), case.parameters["stride"]
    squashed = np.array(resize(picture, SIDE, SIDE, ResizeMode.SQUASH)[::stride, ::stride])
    return {"squashed_uint8": squashed, "pixel_values": prepared(picture, SIDE)[None, :, ::stride, ::stride]}


KINDS = (
    Kind(lambda case: case.has("input", "image_features") and case.has("expected", "tokens"), tokens),
    Kind(lambda case: "stride" in case.parameters and case.has("expected", "pixel_values"), pixels),
)
