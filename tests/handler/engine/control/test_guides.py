"""Control images in the engine: each kind acts, by its weight, until its stop, beside others; nothing stays behind."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handler.engine.checkpoint import SdxlModel
from handler.engine.engine import Engine
from handler.engine.features import Features
from handler.engine.preview import Preview
from handler.engine.step import Step
from handler.plan.plan import ControlPlan, LoraPlan, Plan
from schemas.enums import ControlType
from schemas.errors import ModelLoadError, ModelMissing
from tests.support.controls import CANNY, CPDS, random_controlnet, write_diffusers_folder, write_image_prompts
from tests.support.golden import GOLDEN
from tests.support.models import load_tiny, make_models
from tests.support.plans import small_plan

PICTURE = np.zeros((96, 120, 3), np.uint8)
PICTURE[20:70, 30:90] = (250, 120, 10)
LOC = ("body", "image_prompt_2", "image_url")
KINDS = tuple(ControlType)
STEPS = 3
ROOT = Path(__file__).parents[4]
LORA = GOLDEN / "lora" / "kohya_full" / "lora_0.safetensors"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("guided") / "models")


@pytest.fixture(scope="module")
def model(models: Path) -> SdxlModel:
    return load_tiny(models)


@pytest.fixture(scope="module")
def engine(models: Path, model: SdxlModel) -> Engine:
    write_image_prompts(models, model.unet, scale=4.0)
    (models / "controlnet" / CANNY).symlink_to(GOLDEN / "controlnet" / "control_lora_a.safetensors")
    write_diffusers_folder(models / "controlnet" / CPDS, random_controlnet(model.unet))
    return Engine(model, None, Preview.load(models, [models]), (models,))


@pytest.fixture(scope="module")
def plain(engine: Engine) -> np.ndarray:
    return render(engine, small_plan(STEPS))


def control(kind: ControlType, **changes: object) -> ControlPlan:
    asked = ControlPlan(kind, PICTURE, 1.0, 1.0, False, 64, 128, 0.25, LOC)
    return replace(asked, **changes)  # type: ignore[arg-type]


def guided(*controls: ControlPlan) -> Plan:
    return replace(small_plan(STEPS), controls=controls)


def ignore(step: Step) -> None:
    pass


def render(engine: Engine, plan: Plan, on_step: Callable[[Step], None] = ignore) -> np.ndarray:
    return next(engine.render(plan, on_step)).pixels


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_acts_by_its_weight_until_its_stop(kind: ControlType, engine: Engine, plain: np.ndarray) -> None:
    full = render(engine, guided(control(kind)))
    short = render(engine, guided(control(kind, weight=0.5, stop_at=0.3)))
    longer = render(engine, guided(control(kind, weight=0.5)))
    assert np.array_equal(render(engine, guided(control(kind, stop_at=0.0))), plain)
    assert len({each.tobytes() for each in (full, short, longer, plain)}) == 4


@pytest.mark.parametrize("kind", [ControlType.PYRA_CANNY, ControlType.CPDS])
def test_what_a_hint_is_made_of(kind: ControlType, engine: Engine) -> None:
    base = render(engine, guided(control(kind)))
    assert not np.array_equal(render(engine, guided(control(kind, skip_preprocessing=True))), base)
    assert not np.array_equal(render(engine, guided(control(kind, softness=1.0))), base)
    faint = control(kind, image=PICTURE // 10)
    blind = render(engine, guided(replace(faint, canny_low=254, canny_high=255)))
    assert np.array_equal(blind, render(engine, guided(faint))) == (kind is ControlType.CPDS)


def test_several_of_mixed_kinds_act_together(engine: Engine) -> None:
    every = render(engine, guided(*(control(kind, weight=0.6) for kind in KINDS)))
    for left_out in KINDS:
        others = [control(kind, weight=0.6) for kind in KINDS if kind is not left_out]
        assert not np.array_equal(render(engine, guided(*others)), every)
    twice = [control(ControlType.IMAGE_PROMPT, image=picture) for picture in (PICTURE, 255 - PICTURE)]
    assert not np.array_equal(render(engine, guided(*twice)), render(engine, guided(twice[0])))


def test_without_negative_tokens_a_picture_of_zeros_stands_against(
    engine: Engine, models: Path, tmp_path: Path
) -> None:
    asked = guided(control(ControlType.IMAGE_PROMPT))
    before = render(engine, asked)
    file = models / "controlnet" / "fooocus_ip_negative.safetensors"
    file.rename(tmp_path / file.name)
    try:
        assert not np.array_equal(render(engine, asked), before)
    finally:
        (tmp_path / file.name).rename(file)


def test_a_control_lora_follows_the_loras_of_a_job(engine: Engine) -> None:
    """The same LoRA with and without: the difference the Control-LoRA's own weights make is part of the picture."""
    lora = LoraPlan(LORA, 1.0, ("body", "loras", 0, "path"))
    asked = replace(guided(control(ControlType.PYRA_CANNY)), loras=(lora,))
    fresh = Engine(engine._model, None, engine._preview, engine._roots)
    expected = render(fresh, asked)
    render(engine, guided(control(ControlType.PYRA_CANNY)))
    assert np.array_equal(render(engine, asked), expected)


def _tensors(model: SdxlModel) -> dict[str, torch.Tensor]:
    return {f"{name}.{key}": value for name, net in model.networks.items() for key, value in net.state_dict().items()}


class Stopped(Exception):
    """What a cancelled job raises from its step."""


def stop(step: Step) -> None:
    if step.step == 2:
        raise Stopped


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_is_cut_short_leaves_nothing(
    kind: ControlType, engine: Engine, model: SdxlModel, plain: np.ndarray
) -> None:
    before = {name: value.clone() for name, value in _tensors(model).items()}
    with pytest.raises(Stopped):
        render(engine, guided(control(kind)), stop)
    assert all(torch.equal(value, before[name]) for name, value in _tensors(model).items())
    assert {type(each).__name__ for each in model.unet.attn_processors.values()} == {"AttnProcessor2_0"}
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.unet.modules())
    assert np.array_equal(render(engine, small_plan(STEPS)), plain)


@pytest.fixture
def bare(model: SdxlModel, tmp_path: Path) -> tuple[Engine, Path]:
    """An engine whose models folder has no control parts yet."""
    return Engine(model, None, Preview.load(tmp_path, [tmp_path]), (tmp_path,)), tmp_path


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        (ControlType.PYRA_CANNY, CANNY),
        (ControlType.CPDS, CPDS),
        (ControlType.IMAGE_PROMPT, "clip_vision_vit_h.safetensors"),
        (ControlType.FACE_SWAP, "ip-adapter-plus-face_sdxl_vit-h.bin"),
    ],
)
def test_a_missing_file_is_named_with_the_command(
    kind: ControlType, file: str, bare: tuple[Engine, Path], model: SdxlModel
) -> None:
    engine, folder = bare
    if kind is ControlType.FACE_SWAP:
        write_image_prompts(folder, model.unet)
        (folder / "controlnet" / "ip-adapter-plus-face_sdxl_vit-h.safetensors").unlink()
    with pytest.raises(ModelMissing, match=f"Run: python -m builder fetch {file}"):
        render(engine, guided(control(kind)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_file_is_refused_at_the_field(kind: ControlType, bare: tuple[Engine, Path], model: SdxlModel) -> None:
    engine, folder = bare
    write_image_prompts(folder, model.unet)
    for name in (CANNY, CPDS, "ip-adapter-plus_sdxl_vit-h.safetensors", "ip-adapter-plus-face_sdxl_vit-h.safetensors"):
        (folder / "controlnet" / name).write_bytes(b"\xff" * 500)
    with pytest.raises(ModelLoadError) as raised:
        render(engine, guided(control(kind)))
    assert raised.value.details[0]["loc"] == list(LOC)


def test_models_stay_within_their_budget(engine: Engine, models: Path, model: SdxlModel) -> None:
    roomy, tight = (Engine(model, None, engine._preview, (models,), Features(size)) for size in (2**30, 1))
    for kind in KINDS:
        for each in (roomy, tight):
            with torch.inference_mode():
                each._guides(guided(control(kind)))
    assert len(roomy._shelf._items) == 5
    assert len(tight._shelf._items) == 1
    roomy.release()
    assert roomy._shelf.bytes == 0


def imported_with(module: str) -> set[str]:
    """Names of all that is imported when a module of ours is, itself included, read off the sources."""
    seen: set[str] = set()
    left = [module]
    while left:
        name = left.pop()
        files = [ROOT / f"{name.replace('.', '/')}{end}" for end in (".py", "/__init__.py")]
        source = next((file.read_text("utf-8") for file in files if file.is_file()), "")
        for node in [] if name in seen else ast.parse(source).body:
            if isinstance(node, ast.Import):
                left += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                left += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        seen.add(name)
    return seen


def test_only_the_first_job_with_control_images_imports_what_they_need() -> None:
    at_start = imported_with("handler.start")
    assert {"handler.engine.engine", "handler.engine.shelf", "torch"} <= at_start
    ours = {name.split(".")[3] for name in at_start if name.startswith("handler.engine.control.")}
    assert ours == {"files"}
    assert "cv2" not in at_start
    assert "cv2" in imported_with("handler.engine.control.guides")
