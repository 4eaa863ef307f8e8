"""Guidance: the guided filter, the combination of two predictions, size ids, and whole runs."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.parity.areas.samplers import is_run, run
from benchmarks.parity.kind import Kind, Results, has_rows_of
from benchmarks.parity.networks import Networks
from benchmarks.parity.vectors import Case
from handler.engine.sampling.calls import consistent_size, emphasised_size
from handler.engine.sampling.guidance import bilateral, combine, effective_cfg
from handler.plan.performance import FEW_STEP_GUIDANCE


def filtered(case: Case, networks: Networks) -> Results:
    return {"output": bilateral(case.tensors["input"], case.tensors["guide"])}


def combined(case: Case, networks: Networks) -> Results:
    negative, positive = case.tensors["eps_uncond"], case.tensors["eps_cond"]
    results = {}
    for index, row in enumerate(case.parameters["rows"]):
        plan = dataclasses.replace(FEW_STEP_GUIDANCE, cfg=row["cfg"], adaptive_cfg=row["adaptive_cfg"])
        results[f"row{index}"] = combine(negative, positive, effective_cfg(plan, row["progress"]))
    return results


def size_ids(case: Case, networks: Networks) -> Results:
    def with_ids(row: dict[str, Any]) -> dict[str, Any]:
        size = row["height"], row["width"]
        made = {
            side: {
                "emphasised": list(emphasised_size(*size, row[f"{side}_scale"])),
                "consistent": list(consistent_size(*size)),
            }
            for side in ("positive", "negative")
        }
        return row | made

    return {"expected_json": [with_ids(row) for row in case.expected_json]}


KINDS = (
    Kind(is_run, run),
    Kind(lambda case: case.has("input", "input", "guide"), filtered),
    Kind(lambda case: case.has("input", "eps_uncond", "eps_cond") and "rows" in case.parameters, combined),
    Kind(lambda case: has_rows_of(case, "width", "height", "positive_scale", "positive", "negative"), size_ids),
)
