"""A request becomes a frozen Plan with Fooocus's numbers: forced settings, seeds, LoRA order, sizes, sigmas."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from handler.plan.build import PlanSources, build_plan
from handler.plan.plan import Plan
from handler.plan.prompt.expansion import pick_words
from handler.plan.prompt.process import PromptSources
from handler.plan.prompt.styles import BUNDLED, load_styles
from schemas.errors import InvalidInput, ModelLoadError, ModelMissing
from schemas.request import parse_request
from tests.support.golden import load_case

FILES = (
    "sd_xl_offset_example-lora_1.0.safetensors",
    "sdxl_lcm_lora.safetensors",
    "sdxl_lightning_4step_lora.safetensors",
    "sub/sdxl_hyper_sd_4step_lora.safetensors",
    *(f"own-{number}.safetensors" for number in range(6)),
)

CHECKPOINTS = Path("/models/checkpoints")


def find_lora(source: str, loc: tuple) -> Path:
    name = source.rsplit("/", 1)[-1]
    known = {Path(file).name: file for file in FILES}
    if name not in known:
        raise ModelLoadError(loc, input=source)
    return Path("/models/loras") / known[name]


SOURCES = PlanSources(
    prompts=PromptSources(load_styles(BUNDLED), pick_words),
    lora_files=FILES,
    find_lora=find_lora,
    allow_unchecked=True,
    base=CHECKPOINTS / "base.safetensors",
    find_checkpoint=lambda name, loc: CHECKPOINTS / name,
    find_vae=lambda name, loc: Path("/models/vae") / name,
    find_inpaint_network=lambda engine, loc: (),
)


def plan(**body: object) -> Plan:
    return build_plan(parse_request(body), "job-1", SOURCES)


@pytest.mark.parametrize("row", load_case("text/performance_modes").expected_json, ids=lambda r: r["performance"])
def test_performance_modes(row: dict) -> None:
    made = plan(advanced={"performance": row["performance"]}, loras=[])
    assert made.sampling.steps == row["steps"]
    assert len(made.sampling.sigmas) == row["steps"] + 1
    assert made.sampling.sigmas[-1] == 0
    names = [lora.path.name for lora in made.loras]
    assert names == ([row["lora"]] if row["lora"] else [])


@pytest.mark.parametrize(
    ("name", "sampler", "scheduler", "scale"),
    [
        ("Extreme Speed", "lcm", "lcm", 1.0),
        ("Lightning", "euler", "sgm_uniform", 1.0),
        ("Hyper-SD", "dpmpp_sde_gpu", "karras", 0.8),
    ],
)
def test_few_step_modes_force_their_settings(name: str, sampler: str, scheduler: str, scale: float) -> None:
    made = plan(
        guidance_scale=9, sharpness=20, loras=[],
        advanced={"performance": name, "adaptive_cfg": 3, "sampler_name": "heun", "scheduler_name": "normal"},
    )  # fmt: skip
    assert (made.sampling.sampler, made.sampling.scheduler) == (sampler, scheduler)
    guidance = made.guidance
    assert (guidance.cfg, guidance.sharpness, guidance.adaptive_cfg) == (1.0, 0.0, 1.0)
    assert (guidance.adm_positive, guidance.adm_negative, guidance.adm_end) == (1.0, 1.0, 0.0)
    assert made.loras[-1].scale == scale


def test_speed_keeps_the_request_settings() -> None:
    made = plan(performance="Speed", guidance_scale=5.5, sharpness=7, advanced={"adm_scaler_end": 0.5})
    assert (made.sampling.sampler, made.sampling.scheduler) == ("dpmpp_2m_sde_gpu", "karras")
    assert (made.guidance.cfg, made.guidance.sharpness, made.guidance.adaptive_cfg) == (5.5, 7, 7.0)
    assert (made.guidance.adm_positive, made.guidance.adm_negative, made.guidance.adm_end) == (1.5, 0.8, 0.5)
    assert made.sampling.sigmas[0] == pytest.approx(14.6146, abs=1e-4)
    assert made.sampling.sigma_min == pytest.approx(0.0292, abs=1e-4)


def test_seeds_count_up_and_wrap() -> None:
    made = plan(seed=2**63 - 1, num_images=3)
    assert [image.seed for image in made.images] == [2**63 - 1, 0, 1]
    same = plan(seed=5, num_images=2, advanced={"disable_seed_increment": True})
    assert [image.seed for image in same.images] == [5, 5]


def test_an_omitted_seed_is_drawn_anew_for_each_job() -> None:
    seeds = {plan().images[0].seed for _ in range(20)}
    assert len(seeds) == 20
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_lora_order_and_limit() -> None:
    made = plan(
        prompt="a fox <lora:own-4:0.3>, <lora:own-5:2>",
        loras=[{"path": f"own-{n}.safetensors", "scale": 0.1 * n} for n in range(1, 5)],
    )
    assert [(lora.path.stem, lora.loc) for lora in made.loras] == [
        ("own-1", ("body", "loras", 0, "path")),
        ("own-2", ("body", "loras", 1, "path")),
        ("own-3", ("body", "loras", 2, "path")),
        ("own-4", ("body", "loras", 3, "path")),
        ("own-5", ("body", "prompt")),
        ("sdxl_lcm_lora", ("body", "performance")),
    ]
    assert made.loras[4].scale == 2
    assert made.images[0].prompt == "a fox"


def test_the_default_lora_is_the_offset_lora_and_an_empty_list_none() -> None:
    assert [lora.path.name for lora in plan(performance="Speed").loras] == [FILES[0]]
    assert plan(performance="Speed", loras=[]).loras == ()
    assert plan(performance="Speed", loras=[{"path": "own-1.safetensors", "scale": 0}]).loras == ()


def test_a_missing_performance_lora_is_told_to_the_operator() -> None:
    sources = replace(SOURCES, lora_files=FILES[:1])
    with pytest.raises(ModelMissing, match="python -m builder fetch sdxl_lcm_lora"):
        build_plan(parse_request({}), "job", sources)


def test_a_lora_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput) as raised:
        plan(loras=[{"path": FILES[0]}, {"path": "nowhere.safetensors"}])
    assert raised.value.details[0]["loc"] == ["body", "loras", 1, "path"]


def test_sizes() -> None:
    made = plan(aspect_ratio="1152x896")
    assert (made.width, made.height) == (1152, 896)
    made = plan(aspect_ratio="1152×896", advanced={"overwrite_width": 640})
    assert (made.width, made.height) == (640, 896)


def test_safety_is_the_operators_last_word() -> None:
    assert plan().check_safety
    assert not plan(enable_safety_checker=False).check_safety
    strict = replace(SOURCES, allow_unchecked=False)
    assert build_plan(parse_request({"enable_safety_checker": False}), "job", strict).check_safety


def test_expansion_is_a_text_of_its_own_outside_the_pooled_sum() -> None:
    image = plan(prompt="a fox", styles=["Fooocus V2"], seed=1).images[0]
    assert image.positive == ("a fox", image.expansion)
    assert image.positive_pooled == 1
    assert image.expansion == plan(prompt="a fox", styles=["Fooocus V2"], seed=1).images[0].expansion
    assert image.expansion != plan(prompt="a fox", styles=["Fooocus V2"], seed=2).images[0].expansion
    assert image.expansion.startswith("a fox, ")
    assert plan(prompt="", styles=["Fooocus V2"]).images[0].positive == ("",)


def test_a_plan_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        plan().width = 8  # type: ignore[misc]


def test_a_vae_of_its_own_is_planned_by_its_file() -> None:
    assert plan().vae == ()
    (vae,) = plan(advanced={"vae_name": "x.safetensors"}).vae
    assert (vae.path, vae.loc) == (Path("/models/vae/x.safetensors"), ("body", "advanced", "vae_name"))
