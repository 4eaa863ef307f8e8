"""The start-up timeline: phases add up, what is read is counted, and the tables show every phase and the sum."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from benchmarks.startup.__main__ import main, table, total
from benchmarks.startup.timeline import Timeline

IMPORTS = ["import the SDK", "import torch"]
WORKER_PHASES = [*IMPORTS, "import the worker", "fitness checks", "load weights", "warm up", "the rest"]
PLAIN_PHASES = [*IMPORTS, "import diffusers", "load weights", "warm up"]


def test_an_inner_phase_is_not_counted_twice(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(bytes(3_000_000))
    timeline, began = Timeline(), time.perf_counter()
    with timeline.phase("outer"), timeline.phase("inner"):
        assert len(file.read_bytes()) == 3_000_000
        time.sleep(0.05)
    whole = time.perf_counter() - began
    inner, outer = timeline.phases
    assert (inner.name, outer.name) == ("inner", "outer")
    assert 3_000_000 <= inner.read_bytes < 3_100_000
    assert 0 <= outer.read_bytes < 100_000
    assert inner.seconds >= 0.05
    assert 0 < outer.seconds <= whole - inner.seconds


def test_the_table_has_every_phase_and_the_sum() -> None:
    rows = [
        {"name": "import", "seconds": 1.5, "cpu_seconds": 1.0, "read_bytes": 1_000},
        {"name": "load", "seconds": 2.25, "cpu_seconds": 2.0, "read_bytes": 2_000_000},
    ]
    assert total(rows, "seconds") == 3.75
    lines = [line.split() for line in table("worker", rows).splitlines()]
    assert lines[1:3] == [["import", "1.50", "1.00", "1,000"], ["load", "2.25", "2.00", "2,000,000"]]
    assert lines[3][-3:] == ["3.75", "3.00", "2,001,000"]


def test_a_checkpoint_that_is_not_there_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOOOCUS_CHECKPOINT", "absent.safetensors")
    assert main([]) == 2
    assert "absent.safetensors was not found" in capsys.readouterr().err


def test_a_run_shows_every_phase_of_both(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The demo model; what the machine is busy with does not matter here."""
    monkeypatch.delenv("FOOOCUS_CHECKPOINT", raising=False)
    assert main(["--runs", "1"]) == 0
    worker, plain = capsys.readouterr().out.split("\n\n")
    for shown, phases in ((worker, WORKER_PHASES), (plain, PLAIN_PHASES)):
        rows = [re.fullmatch(r"  (.+?) +(\d+\.\d\d) +(\d+\.\d\d) +([\d,]+)", line) for line in shown.splitlines()]
        assert [row[1] for row in rows if row] == [*phases, "until the first job"]
    for words in ("the clock", "processor time"):
        assert re.search(rf"^worker / plain diffusers by {words}: \d+\.\d\d$", plain, re.MULTILINE)
