"""FreeU: its block function, and runs with it."""

from __future__ import annotations

from typing import Any

from benchmarks.parity.areas.samplers import is_run
from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.runs import one_network
from benchmarks.parity.vectors import Case
from handler.engine.freeu import amplified, damped, factors_for, freeu
from handler.plan.plan import FreeUPlan

SETTINGS = ("b1", "b2", "s1", "s2")


def settings(case: Case) -> FreeUPlan:
    return FreeUPlan(**{name: case.parameters[name] for name in SETTINGS})


def run(case: Case, networks: Networks) -> Results:
    unet = networks.model.unet
    with freeu(unet, settings(case)):
        return one_network(case, unet)


def block(case: Case, networks: Networks) -> Results:
    """hN, skipN: what a decoder block joins. The UNet's base width tells which factors a width gets."""
    base = networks.model.unet.config.block_out_channels[0]
    results: dict[str, Any] = {}
    for index in range(sum(name.startswith("h") for name in case.names("input"))):
        hidden, skip = case.tensors[f"h{index}"], case.tensors[f"skip{index}"]
        factors = factors_for(hidden.shape[1], base, settings(case))
        if factors is not None:
            hidden, skip = amplified(hidden, factors[0]), damped(skip, factors[1])
        results |= {f"h{index}_out": hidden, f"skip{index}_out": skip}
    return results


def has_settings(case: Case) -> bool:
    return case.parameters.keys() >= {*SETTINGS}


KINDS = (
    Kind(lambda case: has_settings(case) and is_run(case), run),
    Kind(lambda case: has_settings(case) and case.has("input", "h0", "skip0"), block),
)
