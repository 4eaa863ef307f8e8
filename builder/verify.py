"""Says of each file in the models folder whether it is the one the catalogue describes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.check import State, size_state, state
from builder.display import bar, human, table
from schemas.catalogue import CATALOGUE, ModelFile


def present(folder: Path) -> tuple[ModelFile, ...]:
    """The catalogue's files that lie in `folder`, right or wrong."""
    return tuple(file for file in CATALOGUE if size_state(file, folder / file.path) is not State.MISSING)


def verify(files: Sequence[ModelFile], folder: Path) -> dict[ModelFile, State]:
    """Read every file and compare size and sha256. Nothing on disk is changed."""
    states: dict[ModelFile, State] = {}
    for file in files:
        with bar(f"checking {file.name}", file.bytes) as advance:
            states[file] = state(file, folder / file.path, advance)
    return states


def as_table(states: dict[ModelFile, State]) -> str:
    """One line a file, and how many are usable."""
    rows = [("FILE", "SIZE", "STATE")]
    rows += [(file.path, human(file.bytes), found.value) for file, found in states.items()]
    good = sum(found.usable for found in states.values())
    return f"{table(rows)}\n{good} of {len(states)} files usable"
