"""The engine as a whole: what it computes per job, what it reuses, and that nothing of a job stays behind."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from handler.engine.engine import Engine
from handler.engine.lora.file import verify
from handler.engine.step import Interrupted, Step
from handler.plan.build import PlanSources, build_plan
from handler.plan.plan import Plan
from handler.start import DEMO_BUNDLE
from schemas.errors import ModelLoadError, OutOfMemory
from schemas.request import parse_request

BODY = {"prompt": "a red circle", "styles": [], "loras": [], "aspect_ratio": "192x128", "seed": 11}


@pytest.fixture
def plan(plan_sources: PlanSources) -> Plan:
    return build_plan(parse_request(BODY | {"performance": "Extreme Speed"}), "job", plan_sources)


@pytest.fixture
def guided(plan_sources: PlanSources) -> Plan:
    body = BODY | {"performance": "Speed", "advanced": {"overwrite_step": 3}}
    return build_plan(parse_request(body), "job", plan_sources)


def fingerprint(engine: Engine) -> str:
    """sha256 over every parameter and buffer of every network."""
    digest = hashlib.sha256()
    for name, network in engine._model.networks.items():
        for key, tensor in network.state_dict().items():
            digest.update(f"{name}.{key}".encode() + tensor.numpy().tobytes())
    return digest.hexdigest()


def render(engine: Engine, plan: Plan, on_step=lambda step: None) -> list[np.ndarray]:
    return [picture.pixels for picture in engine.render(plan, on_step)]


@pytest.fixture
def rows(engine: Engine) -> Iterator[list[int]]:
    """The batch size of every UNet call."""
    seen: list[int] = []
    hook = engine._model.unet.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    yield seen
    hook.remove()


def test_a_few_step_mode_makes_one_pass_per_step_without_a_negative_side(
    engine: Engine, plan: Plan, rows: list[int]
) -> None:
    render(engine, plan)
    assert rows == [1] * 8


def test_guidance_makes_one_batched_call_per_step(engine: Engine, guided: Plan, rows: list[int]) -> None:
    render(engine, guided)
    assert rows == [2] * 3


def test_every_step_is_reported_with_a_preview(engine: Engine, plan: Plan) -> None:
    steps: list[Step] = []
    previews: list[bytes] = []

    def on_step(step: Step) -> None:
        steps.append(step)
        previews.append(step.preview())

    render(engine, replace(plan, images=plan.images * 2), on_step)
    assert [(step.image, step.step, step.steps) for step in steps] == [
        (image, step, 8) for image in range(2) for step in range(1, 9)
    ]
    for data in previews:
        assert len(data) <= 8192
        assert max(Image.open(BytesIO(data)).size) <= 256


def test_the_model_is_the_same_bit_for_bit_after_a_job(engine: Engine, plan: Plan) -> None:
    before = fingerprint(engine)
    render(engine, plan)
    assert fingerprint(engine) == before


def test_also_after_a_cancel_and_the_next_job_is_right(engine: Engine, plan: Plan) -> None:
    expected = render(engine, plan)[0]
    before = fingerprint(engine)

    def stop(step: Step) -> None:
        if step.step == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        render(engine, plan, stop)
    assert fingerprint(engine) == before
    assert np.array_equal(render(engine, plan)[0], expected)


def test_also_after_a_broken_lora(engine: Engine, plan: Plan, tmp_path) -> None:
    expected = render(engine, plan)[0]
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    broken = replace(plan, loras=(*plan.loras, replace(plan.loras[0], path=bad, loc=("body", "loras", 0, "path"))))
    before = fingerprint(engine)
    with pytest.raises(ModelLoadError) as raised:
        render(engine, broken)
    assert raised.value.details[0]["loc"] == ["body", "loras", 0, "path"]
    assert fingerprint(engine) == before
    assert np.array_equal(render(engine, plan)[0], expected)


def test_out_of_memory_is_told_and_survived(engine: Engine, plan: Plan) -> None:
    expected = render(engine, plan)[0]
    with pytest.raises(OutOfMemory):
        render(engine, replace(plan, width=2**22, height=2**22))
    assert np.array_equal(render(engine, plan)[0], expected)


@dataclass
class Full:
    """A UNet's memory: too small for as long as something lies on the shelf."""

    engine: Engine
    failures: int = 0

    def __call__(self, module: torch.nn.Module, inputs: object) -> None:
        if self.engine._shelf.bytes:
            self.failures += 1
            raise torch.OutOfMemoryError


def test_what_other_jobs_left_in_memory_makes_room(engine: Engine, plan: Plan) -> None:
    expected, full = render(engine, plan)[0], Full(engine)
    engine._shelf.get("another job's", lambda: SimpleNamespace(bytes=1))
    with engine._model.unet.register_forward_pre_hook(full):
        assert np.array_equal(render(engine, plan)[0], expected)
    assert full.failures == 1


def test_a_picture_too_large_for_all_memory_fails_once_more_only(engine: Engine, plan: Plan) -> None:
    calls = []

    def fail(module: torch.nn.Module, inputs: object) -> None:
        calls.append(1)
        raise torch.OutOfMemoryError

    for kept, expected in ((True, 2), (False, 1)):
        engine.release()
        if kept:
            engine._shelf.get("another job's", lambda: SimpleNamespace(bytes=1))
        calls.clear()
        with engine._model.unet.register_forward_pre_hook(fail), pytest.raises(OutOfMemory):
            render(engine, replace(plan, loras=()))
        assert len(calls) == expected


def test_pictures_that_are_made_are_not_made_again(engine: Engine, plan: Plan) -> None:
    two = replace(plan, images=(plan.images[0],) * 2)
    pictures = engine.render(two, lambda step: None)
    next(pictures)
    engine._shelf.get("another job's", lambda: SimpleNamespace(bytes=1))
    with engine._model.unet.register_forward_pre_hook(Full(engine)), pytest.raises(OutOfMemory):
        next(pictures)


def test_a_picture_does_not_depend_on_its_place_in_the_job(engine: Engine, guided: Plan) -> None:
    first = guided.images[0]
    other = replace(first, seed=first.seed + 1)
    alone = render(engine, guided)[0]
    behind = render(engine, replace(guided, images=(other, first)))[1]
    assert np.array_equal(alone, behind)


def test_the_demo_loras_are_all_usable() -> None:
    files = sorted((DEMO_BUNDLE / "loras").glob("*.safetensors"))
    assert len(files) >= 4
    for file in files:
        verify(file, ("body", "loras", 0, "path"))
