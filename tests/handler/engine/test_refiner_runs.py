"""Two networks make one picture as Fooocus has them do it: who is asked when, what is kept, what is noised anew."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from handler.engine.checkpoint import SdxlModel
from handler.engine.refiner.model import RefinerModel, load
from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.latents import from_sampler, to_sampler
from handler.engine.sampling.network import NetworkInput, UnetNetwork
from handler.engine.sampling.refining import (
    Course,
    Handover,
    joint,
    own_vae_course,
    refine_only,
    second_noise,
    separate,
    through_vae,
)
from handler.engine.types import Conditioning
from schemas.enums import Scheduler
from tests.handler.engine.sampling.runs import CPU, conditioning, guidance_plan, own_noise, sampling_plan
from tests.support.golden import Case, assert_close, cases, load_case
from tests.support.models import make_models
from tests.support.refiners import write_refiner

RUNS = cases("refiner", lambda case: "final_latent" in case.names("expected"))
SDXL_REFINER = "sdxl_refiner_type"
LABELS = 2560
METHODS = {"joint": joint, "separate": separate}


class Asked(UnetNetwork):
    """Notes in a list it shares with the other network what it is asked."""

    def __init__(self, model: SdxlModel | RefinerModel, calls: list[dict[str, object]]) -> None:
        super().__init__(model.unet)
        self._refiner = isinstance(model, RefinerModel)
        self._calls = calls

    def __call__(self, inputs: NetworkInput) -> Tensor:
        told = {"eval_sigma": inputs.sigma, "eval_timestep": float(inputs.timesteps[0])}
        self._calls.append(told | {"eval_is_refiner": self._refiner, "ids": inputs.time_ids.tolist()})
        return super().__call__(inputs)


@pytest.fixture(scope="module")
def refiners(tiny: SdxlModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, RefinerModel]:
    """The golden set's second network, as SDXL and as the SDXL refiner."""
    models = make_models(tmp_path_factory.mktemp("refiners") / "models")
    files = {"": write_refiner(models), SDXL_REFINER: write_refiner(models, "cut", LABELS)}
    return {kind: load(path, tiny, torch.float32, models / "configs") for kind, path in files.items()}


class GoldenRun:
    """One case: its handover, and what was noted on the way."""

    def __init__(self, case: Case, base: SdxlModel, refiners: dict[str, RefinerModel]) -> None:
        self.case = case
        self.calls: list[dict[str, object]] = []
        self.steps: list[tuple[int, int]] = []
        self.predictions: list[Tensor] = []
        self.plan = sampling_plan(case)
        self.model = refiners[SDXL_REFINER if SDXL_REFINER in case.flags else ""]
        told = [conditioning(case, side) for side in ("positive", "negative")]
        self.handover = Handover(
            base=self._denoiser(base, told),
            refiner=self._denoiser(self.model, [self.model.cut(each, base) for each in told]),
            switch=case.parameters["switch"],
            plan=self.plan,
            noise=own_noise(case),
            on_step=self._note,
        )

    def _denoiser(self, model: SdxlModel | RefinerModel, told: list[Conditioning]) -> Denoiser:
        size = self.case.parameters["latent_size_hw"]
        options = {"describe": model.kind.describe} if isinstance(model, RefinerModel) else {}
        sides = [[each] for each in told]
        guidance = guidance_plan(self.case)
        return Denoiser(Asked(model, self.calls), self.plan.scheduler, guidance, *sides, *size, **options)

    def _note(self, step: int, steps: int, denoised: Tensor) -> None:
        self.steps.append((step, steps))
        self.predictions.append(denoised.clone())

    def second_noise(self) -> object:
        case = self.case
        size = case.parameters["latent_size_hw"]
        return second_noise(self.plan, [case.parameters["seed"]], *size, CPU, self.handover.noise)

    def check(self, latent: Tensor) -> None:
        case = self.case
        assert_close(case, "final_latent", latent)
        for name in ("eval_sigma", "eval_timestep", "eval_is_refiner"):
            assert_close(case, name, torch.tensor([call[name] for call in self.calls]))
        if "step_denoised" in case.tensors:
            assert_close(case, "step_denoised", torch.cat(self.predictions))
        assert self.steps == [(step, case.parameters["steps"]) for step in range(case.parameters["steps"])]


@pytest.mark.parametrize(
    "case", [case for case in RUNS if case.parameters.get("swap_method", "joint") in METHODS], ids=lambda case: case.id
)
def test_networks_of_one_vae(case: Case, tiny: SdxlModel, refiners: dict[str, RefinerModel]) -> None:
    run = GoldenRun(case, tiny, refiners)
    run.check(METHODS[case.parameters.get("swap_method", "joint")](run.handover))


@pytest.mark.parametrize(
    "case", [case for case in RUNS if case.parameters.get("swap_method") == "vae"], ids=lambda case: case.id
)
def test_by_way_of_the_vae(case: Case, tiny: SdxlModel, refiners: dict[str, RefinerModel]) -> None:
    run = GoldenRun(case, tiny, refiners)
    given: list[Tensor] = []
    states: list[tuple[Tensor, float]] = []
    scheduler = run.plan.scheduler

    def enter(clean: Tensor) -> Tensor:
        given.append(clean.clone())
        return to_sampler(clean, scheduler)

    def refine(x: Tensor, sigma: float) -> Tensor:
        states.append((x.clone(), sigma))
        return run.handover.refiner(x, sigma)

    latent = through_vae(replace(run.handover, refiner=refine), run.second_noise(), enter)
    run.check(from_sampler(latent, scheduler))
    x, sigma = states[0]
    assert_close(case, "stage2_latent_in", given[0])
    assert_close(case, "stage2_noise", (x - to_sampler(given[0], scheduler)) / sigma)


def test_the_sdxl_refiner_is_told_how_beautiful_the_picture_is(
    tiny: SdxlModel, refiners: dict[str, RefinerModel]
) -> None:
    (case,) = [case for case in RUNS if SDXL_REFINER in case.flags]
    run = GoldenRun(case, tiny, refiners)
    joint(run.handover)
    told = {str(call["ids"]) for call in run.calls if call["eval_is_refiner"]}
    assert told == {str([[128.0, 128.0, 0.0, 0.0, 6.0], [128.0, 128.0, 0.0, 0.0, 2.5]])}


@pytest.mark.parametrize("row", load_case("refiner/own_vae_decisions").expected_json, ids=str)
def test_who_works_when_the_refiner_has_a_vae_of_its_own(row: dict) -> None:
    encoding = {Course.BOTH: "base_vae", Course.BASE_ONLY: "base_vae", Course.REFINER_ONLY: "refiner_vae"}
    course = own_vae_course(row["steps"], row["switch"], row["denoise"])
    assert encoding[course] == row["encode_vae"]
    assert (course is Course.BOTH) == (row["swap_vae"] is not None)


class Constant:
    """A network that always predicts the same, and counts."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.calls = 0

    def __call__(self, x: Tensor, sigma: float) -> Tensor:
        self.calls += 1
        return torch.full_like(x, self.value)


def handover(switch: int, **changes: object) -> Handover:
    case = next(case for case in RUNS if case.parameters["sampler"] == "euler")
    plan = sampling_plan(case)
    parts = {"base": Constant(1.0), "refiner": Constant(2.0), "noise": own_noise(case), "on_step": lambda *step: None}
    return Handover(switch=switch, plan=plan, **parts | changes)


@pytest.mark.parametrize("method", METHODS.values())
@pytest.mark.parametrize("switch", [0, 1, 7, 8, 20])
def test_any_switch(method: object, switch: int) -> None:
    run = handover(switch)
    steps = run.plan.steps
    end = to_sampler(method(run), Scheduler.KARRAS)
    later = max(0, steps - switch - (method is joint))
    assert (run.base.calls, run.refiner.calls) == (steps - later, later)
    assert torch.allclose(end, torch.full_like(end, 2.0 if later else 1.0))


@pytest.mark.parametrize("switch", [0, 1, 7])
def test_any_switch_by_way_of_the_vae(switch: int) -> None:
    run = handover(switch)
    end = through_vae(run, run.noise, lambda clean: clean)
    assert (run.base.calls, run.refiner.calls) == (switch, run.plan.steps - switch)
    assert torch.allclose(end, torch.full_like(end, 2.0))


def test_the_refiner_alone_starts_from_a_latent_of_its_own() -> None:
    shape = own_noise(RUNS[0]).start().shape
    seen: list[Tensor] = []
    run = handover(3, latent=torch.full(shape, 100.0), refiner=lambda x, sigma: seen.append(x) or x)
    refine_only(run, 0.5)
    assert float(seen[0].mean()) == pytest.approx(50.0, abs=2.0)
    assert run.base.calls == 0
