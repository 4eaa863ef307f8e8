"""Sharpness, adaptive CFG, CFG and the size ids act as Fooocus's, alone and in whole runs."""

from __future__ import annotations

import pytest
import torch

from handler.engine.sampling import guidance
from handler.engine.sampling.calls import consistent_size, emphasised_size
from handler.engine.sampling.guidance import bilateral, combine, effective_cfg
from handler.plan.plan import GuidancePlan
from tests.handler.engine.sampling.runs import own_noise, recorded_results, run
from tests.support.golden import Case, assert_close, cases, load_case

RUNS = cases("guidance", lambda case: "sampler" in case.parameters)
FILTERS = cases("guidance", lambda case: "sigma_space" in case.parameters)
COMBINATION = load_case("guidance/cfg_combination")
SIZES = load_case("guidance/adm_time_ids_table").expected_json


@pytest.mark.parametrize("case", FILTERS, ids=lambda case: case.id)
def test_bilateral_filter(case: Case) -> None:
    assert_close(case, "output", bilateral(case.tensors["input"], case.tensors["guide"]))


@pytest.mark.parametrize("values", [1, 6000, 1 << 24])
def test_bilateral_filter_in_strips(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guidance, "STRIP_VALUES", values)
    for case in FILTERS:
        assert_close(case, "output", bilateral(case.tensors["input"], case.tensors["guide"]))


@pytest.mark.parametrize(("index", "row"), list(enumerate(COMBINATION.parameters["rows"])))
def test_cfg_combination(index: int, row: dict[str, float]) -> None:
    plan = GuidancePlan(row["cfg"], 0.0, row["adaptive_cfg"], 1.0, 1.0, 0.0)
    scale = effective_cfg(plan, row["progress"])
    negative, positive = COMBINATION.tensors["eps_uncond"], COMBINATION.tensors["eps_cond"]
    assert_close(COMBINATION, f"row{index}", combine(negative, positive, scale))


@pytest.mark.parametrize("row", SIZES)
def test_size_ids(row: dict) -> None:
    size = row["height"], row["width"]
    for side in ("positive", "negative"):
        assert list(emphasised_size(*size, row[f"{side}_scale"])) == row[side]["emphasised"]
        assert list(consistent_size(*size)) == row[side]["consistent"]


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.id)
def test_a_seed_gives_the_recorded_latent(case: Case) -> None:
    results = run(case, own_noise(case))
    for name in recorded_results(case):
        assert_close(case, name, results[name])


def test_filter_keeps_what_is_flat() -> None:
    guide = torch.randn(1, 4, 9, 9, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(bilateral(torch.full((1, 4, 9, 9), 3.0), guide), torch.tensor(3.0))
