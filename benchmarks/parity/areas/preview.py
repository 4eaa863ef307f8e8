"""Small networks beside the big ones: the approximate decoder of previews, the latent interposer."""

from __future__ import annotations

from torch import Tensor

from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.vectors import INPUT, Case
from handler.engine.preview import Preview, approximate
from handler.engine.refiner.interposer import interposer

WEIGHT = "weight."


def weights(case: Case) -> dict[str, Tensor]:
    return {name.removeprefix(WEIGHT): case.tensors[name] for name in case.names(INPUT) if name.startswith(WEIGHT)}


def interposed(case: Case, networks: Networks) -> Results:
    return {"output": interposer(weights(case))(case.tensors["latent"])}


def decoder(case: Case, networks: Networks) -> Results:
    to_rgb = approximate(weights(case))
    latent = case.tensors["latent"]
    return {"output": (to_rgb(latent) - 127.5) / 127.5, "preview_uint8": Preview(to_rgb).pixels(latent)}


KINDS = (
    Kind(lambda case: case.has("input", "weight.conv1.weight", "latent"), decoder),
    Kind(lambda case: case.has("input", "weight.head.short.weight", "latent"), interposed),
)
