"""Whole sampler runs on the tiny UNet."""

from __future__ import annotations

from benchmarks.parity.kind import Kind, Results
from benchmarks.parity.networks import Networks
from benchmarks.parity.runs import one_network
from benchmarks.parity.vectors import Case


def is_run(case: Case) -> bool:
    return case.parameters.keys() >= {"sampler", "scheduler", "steps", "cfg", "settings"} and case.has(
        "input", "initial_noise", "positive_cond", "negative_cond"
    )


def run(case: Case, networks: Networks) -> Results:
    return one_network(case, networks.model.unet)


KINDS = (Kind(is_run, run),)
