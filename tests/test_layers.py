"""Imports only point down: rooms know `schemas` and themselves; torch lives in the engine and the demo's training."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "schemas": {"schemas"},
    "handler": {"handler", "schemas"},
    "builder": {"builder", "schemas"},
    "gateway": {"gateway", "schemas"},
}
TORCH_ROOMS = ("handler/engine/", "builder/demo/")
TORCH = {"torch", "torchsde", "diffusers", "transformers", "accelerate"}
FILES = [path for room in MAY_IMPORT for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path) -> Iterator[str]:
    """The full name of every module a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_down(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    top_levels = {module.split(".")[0] for module in imported(path)}
    assert (top_levels & MAY_IMPORT.keys()) <= MAY_IMPORT[room]
    assert "tests" not in top_levels
    if room == "gateway":
        assert "runpod" not in top_levels
    if not name(path).startswith(TORCH_ROOMS):
        assert not top_levels & TORCH


def test_the_engine_knows_no_job_and_no_platform() -> None:
    for path in sorted((ROOT / "handler" / "engine").rglob("*.py")):
        for module in imported(path):
            assert not module.startswith(("handler.job", "handler.sdk", "handler.storage", "handler.media", "runpod"))


def test_files_stay_small() -> None:
    longest = {name(path): len(path.read_text("utf-8").splitlines()) for path in FILES}
    assert {path: lines for path, lines in longest.items() if lines > 400} == {}
