"""Refiner checkpoints of every kind load, are told what they know, and serve a job; whatever is wrong is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint
from safetensors.torch import load_file, save_file
from torch import nn

from handler.engine.blueprint import build, read_config
from handler.engine.checkpoint import CONFIGS, SdxlModel
from handler.engine.engine import Engine
from handler.engine.features import Features
from handler.engine.preview import Preview
from handler.engine.refiner.interposer import FILE, Interposer, interposer, load_interposer
from handler.engine.refiner.kinds import SD15, SDXL, SDXL_REFINER, first_channels, kind_of, last_channels, whole
from handler.engine.refiner.model import load
from handler.engine.step import Interrupted, Step
from handler.engine.types import Conditioning
from handler.engine.weights import WeightsError
from handler.plan.plan import FreeUPlan, LoraPlan, Plan, RefinerPlan
from schemas.catalogue import by_name
from schemas.enums import RefinerSwapMethod
from schemas.errors import ModelLoadError
from tests.support.golden import assert_close, load_case
from tests.support.models import load_tiny, make_models
from tests.support.networks import CHECKPOINT, UNET_PREFIX
from tests.support.plans import small_plan
from tests.support.refiners import SD15_UNET, write_refiner, write_sd15

LOC = ("body", "refiner_model")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_models(tmp_path_factory.mktemp("refiners") / "models")
    write_refiner(folder)
    write_refiner(folder, "cut", 2560)
    write_sd15(folder)
    return folder


def checkpoint(models: Path, name: str) -> Path:
    return models / "checkpoints" / f"{name}.safetensors"


# What each is told


def test_the_text_is_cut_to_what_the_refiner_knows(tiny: SdxlModel) -> None:
    case = load_case("refiner/clip_separate")
    cond = torch.zeros(1, 154, 2048)
    cond[0, [0, 100]] = case.tensors["cond_tokens"]
    text = Conditioning(cond, torch.ones(1, 1280))
    base = replace(tiny, text_encoder=nn.Module())
    base.text_encoder.final_layer_norm = nn.LayerNorm(768)
    base.text_encoder.final_layer_norm.load_state_dict(
        {part: case.tensors[f"final_layer_norm_{part}"] for part in ("weight", "bias")}
    )
    for name, cut, dim in (
        ("sdxl", whole, 2048), ("sdxl_refiner", last_channels, 1280), ("sd15", first_channels, 768)
    ):  # fmt: skip
        made = cut(text, base, dim)
        assert_close(case, f"{name}.cond_first_token", made.cond[0, 0])
        assert_close(case, f"{name}.cond_token_100", made.cond[0, 100])
        assert_close(case, f"{name}.shape", torch.tensor(made.cond.shape))
        assert_close(case, f"{name}.has_pooled", torch.tensor(made.pooled.numel() > 0))


def test_latents_are_converted_as_by_the_published_network() -> None:
    case = load_case("preview/latent_interposer")
    weights = {name.removeprefix("weight."): case.tensors[name] for name in case.names("input") if "weight." in name}
    with torch.no_grad():
        assert_close(case, "output", interposer(weights)(case.tensors["latent"]))


# Checkpoints


def test_kinds_are_told_apart(models: Path, tiny: SdxlModel) -> None:
    kinds = {}
    for name in ("tiny_refiner", "cut", "tiny_sd15"):
        model = load(checkpoint(models, name), tiny, torch.float32, models / "configs")
        kinds[name] = model.kind
        assert (model.vae is tiny.vae) == (name != "tiny_sd15")
    assert kinds == {"tiny_refiner": SDXL, "cut": SDXL_REFINER, "tiny_sd15": SD15}


PARAMETERS = {
    "sdxl_refiner_1.0": ("sd_xl_refiner_1.0_0.9vae.safetensors", "sdxl_refiner", 694_659_841 + 83_653_863),
    "sd_1.5": ("realisticVisionV60B1_v51VAE.safetensors", "sd15", 123_060_480 + 83_653_863),
}
"""By kind: a published fp16 file, its built-in configuration, and how many parameters its other networks have."""


@pytest.mark.parametrize("kind", PARAMETERS)
def test_the_built_in_layouts_have_the_published_size(kind: str) -> None:
    file, folder, others = PARAMETERS[kind]
    unet = build("unet", read_config(CONFIGS / folder, "unet"))
    count = sum(parameter.numel() for parameter in unet.parameters())
    header = by_name(f"checkpoints/{file}").bytes - 2 * (count + others)
    assert 0 < header < 2**20


def test_sd15s_names_are_those_diffusers_converts(models: Path) -> None:
    stored = load_file(checkpoint(models, "tiny_sd15"))
    unet = UNet2DConditionModel.from_config(SD15_UNET)
    names = {name.removeprefix(UNET_PREFIX): value for name, value in stored.items() if name.startswith(UNET_PREFIX)}
    theirs = convert_ldm_unet_checkpoint({UNET_PREFIX + key: value for key, value in names.items()}, unet.config)
    assert theirs.keys() == unet.state_dict().keys()
    model = load(checkpoint(models, "tiny_sd15"), load_tiny(models), torch.float32, models / "configs")
    assert all(torch.equal(value, theirs[name]) for name, value in model.unet.state_dict().items())


def test_a_folder_is_as_good(models: Path, tiny: SdxlModel, tmp_path: Path) -> None:
    one = load(checkpoint(models, "tiny_sd15"), tiny, torch.float32, models / "configs")
    shutil.copytree(models / "configs" / "tiny_sd15", tmp_path / "folder")
    for name, network in (("unet", one.unet), ("vae", one.vae)):
        save_file(network.state_dict(), tmp_path / "folder" / name / "diffusion_pytorch_model.safetensors")
    other = load(tmp_path / "folder", tiny, torch.float32, models / "configs")
    assert other.kind is SD15
    expected = one.unet.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in other.unet.state_dict().items())


@pytest.mark.parametrize(
    "config",
    [
        SD15_UNET | {"cross_attention_dim": 1024},
        SD15_UNET | {"in_channels": 9},
        SD15_UNET | {"projection_class_embeddings_input_dim": 2560},
        {},
    ],
)
def test_other_networks_are_no_refiners(tiny: SdxlModel, config: dict) -> None:
    with pytest.raises(WeightsError, match="no refiner"):
        kind_of(config, tiny)


def spoiled(models: Path, change: Callable[[dict], None], target: Path) -> Path:
    state = load_file(checkpoint(models, "tiny_sd15"))
    change(state)
    save_file(state, target)
    return target


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.update({"lora_unet_x.lora_up.weight": torch.zeros(1)}), "is a LoRA"),
        (lambda state: state.update({"control_model.x": torch.zeros(1)}), "is a ControlNet"),
        (lambda state: [state.pop(name) for name in list(state) if name.startswith(UNET_PREFIX)], "checkpoint"),
        (lambda state: [state.pop(name) for name in list(state) if name.startswith("first_stage")], "vae"),
        (lambda state: state.update({f"{UNET_PREFIX}out.2.bias": torch.zeros(9)}), r"\[9\]"),
        (lambda state: state.update({f"{UNET_PREFIX}more": torch.zeros(9)}), "no SDXL network has|holds a tensor"),
    ],
)
def test_files_that_are_something_else(
    models: Path, tiny: SdxlModel, change: Callable[[dict], None], words: str, tmp_path: Path
) -> None:
    path = spoiled(models, change, tmp_path / "tiny_sd15.safetensors")
    with pytest.raises(WeightsError, match=words):
        load(path, tiny, torch.float32, models / "configs")


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("tail.weight"),
        lambda state: state.pop("core.1.norm.weight"),
        lambda state: state.update({"tail.weight": torch.zeros(4, 8)}),
        lambda state: state.update({"tail.weight": torch.zeros(4, 4096, 1, 1)}),
        lambda state: state.update({"more": torch.zeros(1)}),
    ],
)
def test_a_damaged_interposer(change: Callable[[dict], None]) -> None:
    state = Interposer(8, 2).state_dict()
    change(state)
    with pytest.raises(WeightsError, match="damaged"):
        interposer(state)


def test_the_interposer_of_the_catalogue_is_the_one_looked_for(tmp_path: Path) -> None:
    known = by_name(FILE)
    assert known is not None
    with pytest.raises(WeightsError, match=f"python -m builder fetch {known.name}"):
        load_interposer([tmp_path], torch.device("cpu"))


# Jobs


@pytest.fixture(scope="module")
def engine(models: Path) -> Engine:
    return Engine(load_tiny(models), None, Preview.load(checkpoint(models, "tiny_base"), [models]), (models,))


def refined(models: Path, name: str, method: str = "joint", switch: int = 2, **changes: object) -> Plan:
    asked = RefinerPlan(checkpoint(models, name), LOC, RefinerSwapMethod(method), switch, False)
    return replace(small_plan(steps=4), refiner=(asked,), **changes)


def render(engine: Engine, plan: Plan, on_step: Callable[[Step], None] = lambda step: None) -> np.ndarray:
    return next(engine.render(plan, on_step)).pixels


@pytest.mark.parametrize("name", ["tiny_refiner", "cut", "tiny_sd15"])
def test_every_method_gives_a_picture_of_its_own(engine: Engine, models: Path, name: str) -> None:
    plain = render(engine, small_plan(steps=4))
    steps: list[tuple[int, int]] = []
    previews: list[bytes] = []

    def on_step(step: Step) -> None:
        steps.append((step.step, step.steps))
        previews.append(step.preview())

    made = {method: render(engine, refined(models, name, method), on_step) for method in RefinerSwapMethod}
    assert steps == [(step, 4) for step in (1, 2, 3, 4)] * 3
    assert all(data.startswith(b"\xff\xd8") for data in previews)
    different = {pixels.tobytes() for pixels in [plain, *made.values()]}
    assert len(different) == (2 if name == "tiny_sd15" else 4)
    assert np.array_equal(render(engine, small_plan(steps=4)), plain)


def test_one_whose_turn_never_comes_is_not_loaded(engine: Engine, models: Path) -> None:
    plan = refined(models, "nowhere", switch=4)
    assert np.array_equal(render(engine, plan), render(engine, small_plan(steps=4)))


@pytest.mark.parametrize(("budget", "both"), [(2**30, True), (1, False)])
def test_refiners_are_kept_for_the_next_job(engine: Engine, models: Path, budget: int, both: bool) -> None:
    (asked,) = refined(models, "tiny_refiner").refiner
    (other,) = refined(models, "cut").refiner
    refiners = Engine(engine._model, None, engine._preview, (models,), Features(budget))._refiners
    first = refiners.get(asked)
    assert refiners.get(asked) is first
    assert refiners.get(other) is not first
    assert (refiners.get(asked) is first) == both


def test_freeu_is_for_the_base_network_only(engine: Engine, models: Path) -> None:
    factors = FreeUPlan(1.3, 1.4, 0.9, 0.2)
    plain = render(engine, small_plan(steps=4))
    assert not np.array_equal(render(engine, replace(small_plan(steps=4), freeu=(factors,))), plain)
    never = refined(models, "tiny_refiner", "separate", switch=0)
    assert np.array_equal(render(engine, replace(never, freeu=(factors,))), render(engine, never))


def test_a_stopped_job_leaves_both_networks_as_they_were(engine: Engine, models: Path) -> None:
    plan = refined(models, "tiny_refiner", freeu=(FreeUPlan(1.3, 1.4, 0.9, 0.2),))
    expected = render(engine, plan)

    def stop(step: Step) -> None:
        if step.step == 4:
            raise Interrupted

    with pytest.raises(Interrupted):
        render(engine, plan, stop)
    assert np.array_equal(render(engine, plan), expected)


def lora(folder: Path, unet: nn.Module, prefix: str = "lora_unet_") -> LoraPlan:
    """A LoRA for every attention output of a network, and for a text encoder that no one has."""
    layers = [name for name, module in unet.named_modules() if name.endswith("to_out.0")]
    state = {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.zeros(4, 2)}
    for layer in layers:
        name, rows = prefix + layer.replace(".", "_"), unet.get_submodule(layer).weight.shape[0]
        state[f"{name}.lora_up.weight"] = torch.randn(rows, 2)
        state[f"{name}.lora_down.weight"] = torch.randn(2, rows)
    save_file(state, folder / f"{prefix}lora.safetensors")
    return LoraPlan(folder / f"{prefix}lora.safetensors", 0.5, ("body", "loras", 0, "path"))


def test_a_lora_reaches_whichever_network_it_fits(engine: Engine, models: Path, tmp_path: Path) -> None:
    plan = refined(models, "tiny_sd15")
    (asked,) = plan.refiner
    unet = engine._refiners.get(asked).model.unet
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    for_refiner = lora(tmp_path, unet)
    plain = render(engine, plan)
    assert not np.array_equal(render(engine, replace(plan, loras=(for_refiner,))), plain)
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    assert np.array_equal(render(engine, plan), plain)
    with pytest.raises(ModelLoadError, match="does not fit"):
        render(engine, replace(small_plan(steps=4), loras=(for_refiner,)))
    nobodys = lora(tmp_path, unet, "lora_other_")
    with pytest.raises(ModelLoadError, match="does not fit") as raised:
        render(engine, replace(plan, loras=(nobodys,)))
    assert raised.value.details[0]["loc"] == ["body", "loras", 0, "path"]


def test_a_file_that_is_no_refiner_is_reported_at_its_field(engine: Engine, models: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{}")
    plan = refined(models, "tiny_refiner")
    broken = replace(plan, refiner=(replace(plan.refiner[0], path=bad),))
    with pytest.raises(ModelLoadError) as raised:
        render(engine, broken)
    assert raised.value.details[0]["loc"] == list(LOC)
    render(engine, plan)


def test_sd15_without_its_interposer_is_refused(models: Path, tmp_path: Path) -> None:
    bare = make_models(tmp_path / "models")
    path = write_sd15(bare)
    (bare / FILE).unlink()
    engine = Engine(load_tiny(bare), None, Preview.load(CHECKPOINT, [bare]), (bare,))
    (asked,) = refined(models, "tiny_sd15").refiner
    with pytest.raises(ModelLoadError, match=Path(FILE).name) as raised:
        engine._refiners.get(replace(asked, path=path))
    assert json.loads(json.dumps(raised.value.details))[0]["loc"] == list(LOC)
