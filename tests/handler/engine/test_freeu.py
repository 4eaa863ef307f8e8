"""FreeU does to features and skips what Fooocus does, in the blocks Fooocus does it in, and leaves no trace."""

from __future__ import annotations

import pytest
import torch

from handler.engine.freeu import amplified, damped, factors_for, freeu
from handler.plan.plan import FreeUPlan
from tests.handler.engine.sampling.runs import own_noise, recorded_results, run
from tests.support.golden import Case, assert_close, cases, load_case
from tests.support.networks import tiny_unet

RUNS = cases("freeu", lambda case: "final_latent" in case.names("expected"))
BASE_CHANNELS = 32


def factors(case: Case) -> FreeUPlan:
    return FreeUPlan(*(case.parameters[name] for name in ("b1", "b2", "s1", "s2")))


def test_one_block() -> None:
    case = load_case("freeu/block_function")
    for index in range(3):
        hidden, skip = case.tensors[f"h{index}"], case.tensors[f"skip{index}"]
        found = factors_for(hidden.shape[1], BASE_CHANNELS, factors(case))
        b, s = found or (1.0, 1.0)
        assert (found is None) == (index == 2)
        assert_close(case, f"h{index}_out", amplified(hidden, b))
        assert_close(case, f"skip{index}_out", damped(skip, s))


@pytest.mark.parametrize("case", RUNS, ids=lambda case: case.id)
def test_runs(case: Case) -> None:
    with freeu(tiny_unet(), factors(case)):
        results = run(case, own_noise(case))
    for name in recorded_results(case):
        assert_close(case, name, results[name])


def test_afterwards_the_network_is_as_before() -> None:
    case, unet = RUNS[0], tiny_unet()
    before = run(case, own_noise(case))["final_latent"]
    with pytest.raises(KeyError), freeu(unet, factors(case)):
        raise KeyError
    assert not any(module._forward_pre_hooks for module in unet.modules())
    assert torch.equal(run(case, own_noise(case))["final_latent"], before)


def test_features_alike_everywhere_are_left_alone() -> None:
    flat = torch.full((1, 4, 2, 2), 3.0)
    assert torch.equal(amplified(flat, 1.5), flat)
