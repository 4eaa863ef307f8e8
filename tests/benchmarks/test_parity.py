"""The checker finds no fault with the project's own vectors, finds every planted one, and keeps docs/parity.md current.

Errors in the document have one digit and may differ between machines; its groups, counts and tolerances must be those
of the run, which writes it anew where they are not.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from benchmarks.parity.__main__ import main
from benchmarks.parity.areas import DEFECTS
from benchmarks.parity.check import check_case, check_set
from benchmarks.parity.document import document, magnitude
from benchmarks.parity.networks import Networks
from benchmarks.parity.outcome import Outcome, Status
from benchmarks.parity.report import passed, text
from benchmarks.parity.tolerance import RULES, tolerance_classes
from benchmarks.parity.vectors import Case, indexed_cases, load_case
from tests.support.golden import GOLDEN

DOCUMENT = Path(__file__).parents[2] / "docs" / "parity.md"
MAGNITUDE = re.compile(r"(?<=\| )(0|≤ [0-9.]+)(?= \|)")
LIMIT = 20_000_000
"""Bytes of the project's copy."""


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return list(check_set(GOLDEN))


@pytest.fixture(scope="module")
def networks() -> Any:
    with Networks(GOLDEN) as networks:
        yield networks


def test_every_vector_is_within_its_tolerance(outcomes: list[Outcome]) -> None:
    assert passed(outcomes), text(outcomes)
    assert {outcome.status for outcome in outcomes} == {Status.CHECKED}, text(outcomes)


def test_the_document_is_current(outcomes: list[Outcome]) -> None:
    made = document(outcomes, tolerance_classes(GOLDEN))
    if MAGNITUDE.sub("*", DOCUMENT.read_text("utf-8")) != MAGNITUDE.sub("*", made):
        DOCUMENT.write_text(made, "utf-8")
        pytest.fail("docs/parity.md was out of date; it has been written anew, to be looked at and committed")


def test_the_document_names_every_difference_that_is_meant() -> None:
    words = " ".join(DOCUMENT.read_text("utf-8").split())
    for told in (*(defect.reason for defect in DEFECTS.values()), "refiner's switch", '" Karras"'):
        assert told in words


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0"), (1e-9, "≤ 0.000001"), (0.0101, "≤ 0.02"), (0.02, "≤ 0.02"), (0.091, "≤ 0.1"), (0.5, "≤ 0.5"),
        (0.999, "≤ 1"), (1.0, "≤ 1"), (1.2, "≤ 2"), (math.inf, "beyond"),
    ],
)  # fmt: skip
def test_an_error_is_rounded_up_to_one_digit(share: float, shown: str) -> None:
    assert magnitude(share) == shown


@pytest.mark.parametrize(
    ("found", "good"),
    [
        ([], False),
        ([("a", Status.CHECKED), ("a", Status.INTENDED_DIFFERS)], True),
        ([("a", Status.CHECKED), ("b", Status.INTENDED_DIFFERS)], False),
        ([("a", Status.CHECKED), ("a", Status.NOT_COVERED)], False),
        ([("a", Status.CHECKED), ("a", Status.UNKNOWN)], False),
    ],
)
def test_a_set_passes_when_of_every_group_something_was_compared(found: list, good: bool) -> None:
    assert passed([Outcome(f"{area}/x", area, "latent", status) for area, status in found]) == good


def test_the_copy_is_complete_and_small() -> None:
    assert {case.area for case in indexed_cases(GOLDEN)} == {
        "conditioning", "controlnet", "end_to_end", "esrgan", "freeu", "guidance", "image", "inpaint", "ip_adapter",
        "lora", "preview", "refiner", "samplers", "sigmas", "text", "vae",
    }  # fmt: skip
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < LIMIT


class Copy:
    """A set of one case of the project's, to be damaged. Its name says nothing about what it is."""

    def __init__(self, root: Path, source: Case) -> None:
        self.case = Case(root, root / source.area / "renamed")
        shutil.copytree(source.folder, self.case.folder)
        shutil.copyfile(GOLDEN / "index.json", root / "index.json")
        if "/" in source.parameters.get("styles", ""):
            shutil.copytree(GOLDEN / "text" / "styles_loaded", root / "text" / "styles_loaded")

    def edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        path = self.case.folder / "case.json"
        record = json.loads(path.read_text("utf-8"))
        change(record)
        path.write_text(json.dumps(record))
        self.case = Case(self.case.root, self.case.folder)

    def shift(self, name: str, amount: float) -> None:
        """Add to one value of a tensor or of a picture."""
        if name.endswith(".png"):
            pixels = self.case.picture(name).copy()
            pixels.flat[0] = np.clip(int(pixels.flat[0]) + (amount if pixels.flat[0] < 128 else -amount), 0, 255)
            Image.fromarray(pixels).save(self.case.folder / name)
            return
        path = self.case.folder / "case.safetensors"
        tensors = load_file(path)
        tensors[name] = tensors[name].contiguous()
        tensors[name].view(-1)[0] += torch.tensor(amount).to(tensors[name].dtype)
        save_file(tensors, path)


def first(area: str, where: Callable[[Case], bool]) -> Case:
    return next(case for case in indexed_cases(GOLDEN) if case.area == area and where(case))


def expects(name: str) -> Callable[[Case], bool]:
    return lambda case: name in [*case.names("expected"), *case.files("expected")]


PLANTED = {
    "exact_float": ("sigmas", "main.euler.n30.d1", 1e-3),
    "elementwise": ("guidance", "output", 1e-2),
    "cond": ("conditioning", "cond", 0.1),
    "eps": ("lora", "eps", 0.1),
    "latent": ("samplers", "final_latent", 1.0),
    "vae": ("vae", "latent", 0.1),
    "uint8_0": ("image", "grid.png", 1),
    "uint8_1": ("image", "in1_mode1.png", 2),
}
"""A tensor or picture of a case of each tolerance class, and what is added to one of its values."""


@pytest.mark.parametrize("label", PLANTED)
def test_one_wrong_value_is_found(label: str, networks: Networks, tmp_path: Path) -> None:
    area, name, amount = PLANTED[label]
    source = first(area, lambda case: case.tolerance_class == label and expects(name)(case))
    copy = Copy(tmp_path, source)
    assert check_case(copy.case, networks).status is Status.CHECKED
    copy = Copy(tmp_path / "damaged", source)
    copy.shift(name, amount)
    outcome = check_case(copy.case, networks)
    assert outcome.status is Status.FAILED
    assert outcome.detail.startswith(name)
    assert not passed([outcome])
    assert f"{area}/renamed" in text([outcome])


def test_a_wrong_row_of_a_table_is_found(networks: Networks, tmp_path: Path) -> None:
    copy = Copy(tmp_path, first("text", lambda case: "lora_files" in case.parameters))
    copy.edit(lambda record: record["expected_json"][0].update(result_prompt="another"))
    assert check_case(copy.case, networks).detail.startswith("expected_json")


def test_every_rule_tells_right_from_wrong() -> None:
    recorded = torch.full((1000,), 100.0, dtype=torch.float64)
    for label, rule in RULES.items():
        assert rule(recorded, recorded) == 0.0, label
        assert rule(recorded + 3, recorded) > 1.0, label


def test_a_value_that_is_not_computed_is_a_failure(networks: Networks, tmp_path: Path) -> None:
    copy = Copy(tmp_path, first("guidance", expects("output")))
    spec = {"role": "expected", "shape": [1], "dtype": "float32"}
    copy.edit(lambda record: record["tensors"].update(unheard_of=spec))
    outcome = check_case(copy.case, networks)
    assert (outcome.status, outcome.detail) == (Status.FAILED, "unheard_of inf times the tolerance")


def test_a_case_of_unknown_structure_is_a_failure(networks: Networks, tmp_path: Path) -> None:
    for area in ("text", "samplers", "image"):
        copy = Copy(tmp_path / area, first(area, lambda case: True))
        copy.edit(lambda record: record.update(parameters={}, tensors={}, files=None, expected_json=[{"new": 1}]))
        outcome = check_case(copy.case, networks)
        assert outcome.status is Status.UNKNOWN
        assert not passed([outcome])


def test_a_recorded_defect_is_told_from_a_failure_by_its_flag(networks: Networks, tmp_path: Path) -> None:
    copy = Copy(tmp_path, first("samplers", lambda case: case.parameters["scheduler"] == "turbo"))
    copy.shift("final_latent", 1.0)
    copy.edit(lambda record: record.update(flags=["bug:main_sampler_uses_normal"]))
    outcome = check_case(copy.case, networks)
    assert outcome.status is Status.INTENDED_DIFFERS
    assert "normal schedule" in outcome.detail


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    copy = Copy(tmp_path, load_case("image/shape_ceil_table", GOLDEN))
    index = tmp_path / "index.json"
    listed = [{"path": copy.case.id}]
    index.write_text(json.dumps(json.loads(index.read_text()) | {"cases": listed}))
    assert main([str(tmp_path)]) == 0
    assert "1 vectors: 1 checked" in capsys.readouterr().out
    copy.edit(lambda record: record["expected_json"][0].update(shape_ceil=1))
    assert main([str(tmp_path)]) == 1
    assert "image/renamed" in capsys.readouterr().out
    shutil.rmtree(copy.case.folder)
    index.write_text(json.dumps(json.loads(index.read_text()) | {"cases": []}))
    assert main([str(tmp_path)]) == 2
