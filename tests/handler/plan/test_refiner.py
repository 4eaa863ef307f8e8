"""Which refiner a job gets and at which step it takes over; FreeU's factors; both in the metadata."""

from __future__ import annotations

from pathlib import Path

import pytest

from handler.installed import checkpoint_library
from handler.metadata import entries
from handler.plan.plan import FreeUPlan, Plan
from handler.plan.refiner import switch_step
from schemas.enums import RefinerSwapMethod
from schemas.errors import InvalidInput, ModelLoadError
from schemas.request import parse_request
from tests.handler.plan.test_build import CHECKPOINTS, plan
from tests.support.golden import load_case

FAL = "realisticVisionV60B1_v51VAE.safetensors"


def refined(**body: object) -> Plan:
    advanced = {"refiner_model": "r.safetensors"} | body.pop("advanced", {})
    return plan(performance="Speed", loras=[], advanced=advanced, **body)


@pytest.mark.parametrize("row", load_case("refiner/overrides_steps_switch").expected_json, ids=str)
def test_the_switch_is_a_share_of_the_steps_that_are_run(row: dict) -> None:
    overwrites = {key: row[key] for key in ("overwrite_step", "overwrite_switch") if row[key] > 0}
    modes = {30: "Speed", 60: "Quality", 8: "Extreme Speed"}
    if row["steps"] == 8:
        assert switch_step(8, row["refiner_switch"]) == row["intended_switch"]
        return
    made = plan(
        performance=modes[row["steps"]], loras=[], refiner_switch=row["refiner_switch"],
        advanced={"refiner_model": "r.safetensors"} | overwrites,
    )  # fmt: skip
    assert made.sampling.steps == row["result_steps"]
    assert made.refiner[0].switch == row["intended_switch"]
    assert made.refiner[0].overwritten == ("overwrite_switch" in overwrites)


def test_no_refiner_unless_asked_for() -> None:
    assert plan(performance="Speed").refiner == ()
    assert plan(performance="Speed", refiner_model="None").refiner == ()


def test_none_in_a_few_step_mode_nor_over_itself() -> None:
    assert plan(performance="Lightning", refiner_model=FAL).refiner == ()
    assert plan(performance="Lightning", refiner_model=FAL).refiner_switch == 1.0
    assert refined(advanced={"refiner_model": "base.safetensors"}).refiner == ()


def test_fals_field_and_the_advanced_one_over_it() -> None:
    (asked,) = plan(performance="Speed", refiner_model=FAL, advanced={"refiner_swap_method": "vae"}).refiner
    assert (asked.path, asked.loc) == (CHECKPOINTS / FAL, ("body", "refiner_model"))
    assert (asked.method, asked.switch) == (RefinerSwapMethod.VAE, 24)
    (asked,) = refined(refiner_model=FAL).refiner
    assert (asked.path.name, asked.loc) == ("r.safetensors", ("body", "advanced", "refiner_model"))


@pytest.mark.parametrize("value", [0, -1, 201, 0.5])
def test_the_overwritten_switch_is_a_step(value: float) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_request({"advanced": {"overwrite_switch": value}})
    assert raised.value.details[0]["loc"] == ["body", "advanced", "overwrite_switch"]


def test_metadata() -> None:
    made = refined(
        refiner_switch=0.5,
        advanced={"overwrite_switch": 5, "refiner_swap_method": "separate", "freeu": {"b1": 1.1, "s2": 0.8}},
    )
    assert made.freeu == (FreeUPlan(1.1, 1.02, 0.99, 0.8),)
    values = entries(made, made.images[0], "base.safetensors")
    assert values["freeu"] == "(1.1, 1.02, 0.99, 0.8)"
    keys = list(values)
    start = keys.index("refiner_model")
    assert [(key, values[key]) for key in keys[start : start + 4]] == [
        ("refiner_model", "r.safetensors"),
        ("refiner_switch", 0.5),
        ("overwrite_switch", 5),
        ("refiner_swap_method", "separate"),
    ]
    assert keys.index("freeu") == keys.index("seed") + 1


def test_metadata_without() -> None:
    made = plan(performance="Speed", loras=[], advanced={"overwrite_switch": 5, "refiner_swap_method": "vae"})
    values = entries(made, made.images[0], "base.safetensors")
    assert values["refiner_model"] == "None"
    assert not {"overwrite_switch", "refiner_swap_method", "freeu"} & values.keys()


def test_installed_checkpoints_are_found_by_name(tmp_path: Path) -> None:
    for name in ("one/checkpoints/sub/a.safetensors", "two/checkpoints/a.safetensors",
                 "two/checkpoints/b/model_index.json", "two/checkpoints/b/unet/x.safetensors"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    library = checkpoint_library((tmp_path / "one", tmp_path / "two"))
    assert set(library.files()) == {"sub/a.safetensors", "a.safetensors", "b"}
    assert library.find("a.safetensors", ("x",)) == tmp_path / "two/checkpoints/a.safetensors"
    assert library.find("sub/a.safetensors", ("x",)) == tmp_path / "one/checkpoints/sub/a.safetensors"
    assert library.find("b", ("x",)).is_dir()


@pytest.mark.parametrize(
    ("name", "words"),
    [(FAL, f"python -m builder fetch {FAL}"), ("nowhere.safetensors", "No checkpoint"), ("../secret", "No checkpoint")],
)
def test_one_that_is_not_installed_is_named_and_how_to_get_it(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(ModelLoadError, match=words) as raised:
        checkpoint_library((tmp_path,)).find(name, ("body", "refiner_model"))
    assert raised.value.details[0]["loc"] == ["body", "refiner_model"]
