"""One denoiser call: raw predictions as recorded, one network call where it can be, no host in the way."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from handler.engine.sampling.denoiser import Denoiser
from handler.engine.sampling.network import NetworkInput, UnetNetwork
from handler.engine.types import Conditioning
from handler.plan.plan import GuidancePlan
from schemas.enums import Scheduler
from tests.handler.engine.sampling.runs import CPU, conditioning, denoiser
from tests.support.golden import Case, cases, load_case, rule_for, tensor_error
from tests.support.networks import build_tiny_unet, tiny_unet

RAW = [case for case in cases("samplers") + cases("guidance") if "eval_x" in case.record["tensors"]]
CASE = load_case("guidance/sharpness_30")
GUIDANCE = GuidancePlan(
    cfg=5.0, sharpness=10.0, adaptive_cfg=3.0, adm_positive=1.5, adm_negative=0.8, adm_end=0.3
)
HEIGHT, WIDTH = 12, 16


class CountedNetwork:
    """The tiny network, counting calls and rows."""

    def __init__(self) -> None:
        self._network = UnetNetwork(tiny_unet())
        self.dtype = self._network.dtype
        self.rows: list[int] = []

    def __call__(self, inputs: NetworkInput) -> Tensor:
        self.rows.append(len(inputs.sample))
        return self._network(inputs)


def random_conditioning(seed: int, chunks: int) -> Conditioning:
    generator = torch.Generator().manual_seed(seed)
    cond = torch.randn(1, 77 * chunks, 32, generator=generator)
    return Conditioning(cond, torch.randn(1, 1280, generator=generator))


def make(
    positive: list[Conditioning], negative: list[Conditioning], cfg: float = 5.0
) -> tuple[Denoiser, CountedNetwork]:
    network = CountedNetwork()
    guidance = replace(GUIDANCE, cfg=cfg)
    return Denoiser(network, Scheduler.KARRAS, guidance, positive, negative, HEIGHT, WIDTH), network


def noisy(pictures: int) -> Tensor:
    return 5.0 * torch.randn(pictures, 4, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("case", RAW, ids=lambda case: case.id)
def test_raw_predictions(case: Case) -> None:
    made, tensors = denoiser(case), case.tensors
    for index, sigma in enumerate(tensors["eval_sigma"].tolist()):
        predictions = made.predict(tensors["eval_x"][index : index + 1], sigma)
        for name, prediction in zip(("eval_cond_denoised", "eval_uncond_denoised"), predictions, strict=True):
            expected = tensors[name][index : index + 1]
            assert tensor_error(prediction, expected, rule_for(case, name)) <= 1, (index, name)


@torch.inference_mode()
def test_pictures_of_unequal_prompts_come_out_as_alone() -> None:
    positive = [random_conditioning(1, 1), random_conditioning(2, 3), random_conditioning(3, 5)]
    negative = [random_conditioning(4, 2), random_conditioning(5, 1), random_conditioning(6, 1)]
    x = noisy(3)
    together, network = make(positive, negative)
    batch = together(x, 3.0)
    assert network.rows == [4, 1, 1]
    for picture in range(3):
        alone, _ = make(positive[picture : picture + 1], negative[picture : picture + 1])
        assert torch.allclose(batch[picture], alone(x[picture : picture + 1], 3.0)[0], atol=2e-5)


@torch.inference_mode()
def test_positive_and_negative_share_a_call() -> None:
    made, network = make([random_conditioning(1, 2)], [random_conditioning(2, 1)])
    made(noisy(1), 3.0)
    assert network.rows == [2]


@torch.inference_mode()
def test_cfg_1_needs_neither_the_negative_side_nor_the_filter() -> None:
    made, network = make([random_conditioning(1, 1)], [], cfg=1.0)
    x = noisy(1)
    denoised = made(x, 3.0)
    assert network.rows == [1]
    assert torch.equal(denoised, made.predict(x, 3.0)[0])


@torch.inference_mode()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_latent_stays_float32_around_a_half_precision_network(dtype: torch.dtype) -> None:
    x, sigma = CASE.tensors["eval_x"][-1:], float(CASE.tensors["eval_sigma"][-1])
    half = denoiser(CASE, UnetNetwork(build_tiny_unet().to(dtype)))
    denoised = half(x, sigma)
    assert denoised.dtype == torch.float32
    expected = denoiser(CASE)(x, sigma)
    assert (denoised - expected).abs().max() < 0.02 * expected.abs().max()


class NoHost(TorchDispatchMode):
    """Fails where a value is read back from the device, or a new one uploaded to it."""

    FORBIDDEN = ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func.overloadpacket.__name__ not in self.FORBIDDEN, func
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("chunks", [1, 5])
def test_a_call_neither_waits_for_the_device_nor_uploads(chunks: int) -> None:
    made, _ = make([random_conditioning(1, chunks)], [random_conditioning(2, 1)])
    x = noisy(1)
    with torch.inference_mode(), NoHost():
        made(x, 3.0)
    assert x.device == CPU


def test_conditionings_are_not_changed() -> None:
    positive = conditioning(CASE, "positive")
    before = positive.cond.clone()
    with torch.inference_mode():
        denoiser(CASE)(CASE.tensors["eval_x"][:1], 14.0)
    assert torch.equal(positive.cond, before)
