"""Upscale and vary in the plan: sizes, how much is made anew, steps, and sizes that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from handler.plan.images import UOV_IMAGE
from handler.plan.plan import Plan
from schemas.errors import InvalidInput
from tests.support.requests import picture, plan_of


def planned(size: tuple[int, int], method: str, **body: Any) -> Plan:
    body = {"endpoint": "upscale-or-vary", "uov_image_url": "x", "uov_method": method} | body
    return plan_of({UOV_IMAGE: picture(*size)}, **body)


@pytest.mark.parametrize(
    ("method", "size", "made", "denoise", "steps"),
    [
        ("Vary (Subtle)", (300, 400), (832, 1152), 0.5, 30),
        ("Vary (Strong)", (1152, 896), (1152, 896), 0.85, 30),
        ("Upscale (1.5x)", (1000, 800), (1500, 1200), 0.382, 18),
        ("Upscale (2x)", (601, 801), (1202, 1602), 0.382, 18),
    ],
)
def test_methods(method: str, size: tuple, made: tuple, denoise: float, steps: int) -> None:
    plan = planned(size, method)
    (uov,) = plan.uov
    assert (uov.height, uov.width) == made
    assert (plan.height, plan.width) == tuple(side // 8 * 8 for side in made)
    assert (plan.sampling.denoise, plan.sampling.steps, len(plan.sampling.sigmas)) == (denoise, steps, steps + 1)
    assert (uov.upscaled, uov.tiled, uov.diffused) == (method.startswith("Up"), method.startswith("Up"), True)


def test_the_sigmas_are_the_last_of_a_longer_schedule() -> None:
    sigmas = planned((800, 800), "Upscale (2x)").sampling.sigmas
    assert 0.5 < sigmas[0] < 2
    assert sigmas[-1] == 0


def test_strengths_can_be_overwritten() -> None:
    assert planned((800, 800), "Vary (Subtle)", advanced={"overwrite_vary_strength": 0.3}).sampling.denoise == 0.3
    assert planned((800, 800), "Upscale (2x)", advanced={"overwrite_upscale_strength": 0.2}).sampling.denoise == 0.2
    assert planned((800, 800), "Vary (Subtle)", advanced={"overwrite_upscale_strength": 0.2}).sampling.denoise == 0.5
    assert planned((800, 800), "Vary (Subtle)", advanced={"overwrite_vary_strength": 0}).sampling.denoise == 0.5
    tiny = planned((800, 800), "Vary (Subtle)", advanced={"overwrite_vary_strength": 1e-12}).sampling
    assert tiny.steps == 30


def test_a_factor_of_one_s_own() -> None:
    (uov,) = planned((400, 500), "Upscale (2x)", advanced={"upscale_value": 4.5}).uov
    assert (uov.height, uov.width, uov.factor) == (1800, 2250, 4.5)


@pytest.mark.parametrize(
    ("method", "size", "made"),
    [("Upscale (Fast 2x)", (700, 900), (1400, 1800)), ("Upscale (2x)", (1450, 1450), (2900, 2900))],
)
def test_fast_and_very_large_ones_are_delivered_as_upscaled_and_once(method: str, size: tuple, made: tuple) -> None:
    plan = planned(size, method, num_images=4)
    (uov,) = plan.uov
    assert (uov.height, uov.width, uov.diffused) == (*made, False)
    assert len(plan.images) == 1


@pytest.mark.parametrize(
    ("method", "size", "body"),
    [
        ("Vary (Subtle)", (31, 100), {}),
        ("Vary (Strong)", (100, 1700), {}),
        ("Upscale (2x)", (2100, 2100), {}),
        ("Upscale (Fast 2x)", (600, 4200), {}),
        ("Upscale (1.5x)", (1000, 1000), {"advanced": {"upscale_value": 5}}),
    ],
)
def test_sizes_that_cannot_be_made_are_refused(method: str, size: tuple, body: dict) -> None:
    with pytest.raises(InvalidInput) as raised:
        planned(size, method, **body)
    assert [tuple(detail["loc"]) for detail in raised.value.details] == [UOV_IMAGE]


def test_transparency_shows_white() -> None:
    seen = np.dstack([picture(64, 64), np.zeros((64, 64), np.uint8)])
    body = {"endpoint": "upscale-or-vary", "uov_image_url": "x"}
    assert plan_of({UOV_IMAGE: seen}, **body).uov[0].image.min() == 255
