"""`python -m benchmarks.speed` measures the engine beside its UNet and whole pictures."""

from __future__ import annotations

import re

import pytest

from benchmarks.speed.__main__ import main


def test_it_prints_a_ratio_and_both_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--device", "cpu", "--side", "128", "--rounds", "1"]) == 0
    printed = capsys.readouterr().out
    ratio = re.search(r"ratio ([\d.]+)", printed)
    assert ratio is not None
    assert float(ratio[1]) > 0
    assert re.findall(r"^(\d+) steps, guidance", printed, re.MULTILINE) == ["30", "8"]
