"""The approximate decoder of previews."""

from __future__ import annotations

from benchmarks.parity.kind import Kind, Results, not_built
from benchmarks.parity.networks import Networks
from benchmarks.parity.vectors import INPUT, Case
from handler.engine.preview import Preview, approximate

WEIGHT = "weight."


def decoder(case: Case, networks: Networks) -> Results:
    weights = {name.removeprefix(WEIGHT): case.tensors[name] for name in case.names(INPUT) if name.startswith(WEIGHT)}
    to_rgb = approximate(weights)
    latent = case.tensors["latent"]
    return {"output": (to_rgb(latent) - 127.5) / 127.5, "preview_uint8": Preview(to_rgb).pixels(latent)}


KINDS = (
    Kind(lambda case: case.has("input", "weight.conv1.weight", "latent"), decoder),
    Kind(lambda case: case.has("input", "weight.head.short.weight"), not_built),
)
