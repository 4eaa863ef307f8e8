"""The catalogue as people and programs read it: a table, JSON, and the page `docs/models.md`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from builder.check import State, size_state
from builder.display import human, table
from schemas.catalogue import CATALOGUE, FEATURES, SETS, ModelFile, for_features, for_set

INTRODUCTION = """\
# Model files

Written by `python -m builder list --markdown`; the facts are in `schemas/catalogue.json`.

Folders and names are those of Fooocus's `models/`, so an existing Fooocus installation can be used as it is.
`python -m builder fetch` brings files by name, by feature or by set, shows each licence first, and verifies
size and sha256; `python -m builder verify` checks what is there. Which licence fits your use is for you to
decide: the notes below are a reading aid, not advice."""


def as_table(files: Sequence[ModelFile], folder: Path) -> str:
    """One line a file, and the sum of the known sizes."""
    rows = [("FILE", "SIZE", "STATE", "FEATURES", "LICENCE")]
    for file in files:
        cells = (_state(file, folder), ", ".join(file.features), file.licence)
        rows.append((file.path, human(file.bytes), *cells))
    return f"{table(rows)}\n{len(files)} files, {_size(files)}"


def as_data(files: Sequence[ModelFile], folder: Path) -> list[dict[str, Any]]:
    """Every fact of each file, its path, and whether it lies in `folder`."""
    return [{"path": file.path, "state": _state(file, folder), **file.model_dump(mode="json")} for file in files]


def _state(file: ModelFile, folder: Path) -> str:
    found = size_state(file, folder / file.path)
    return "present" if found is State.UNCHECKED else found.value


def as_page() -> str:
    """The whole catalogue as Markdown."""
    sections = [
        INTRODUCTION,
        "## Sets",
        _sets(),
        "## Features",
        _features(),
        "## Files",
        _files(),
        "## Notes",
        "\n".join(f"- `{file.path}`: {file.note}" for file in CATALOGUE if file.note),
    ]
    return "\n\n".join(sections) + "\n"


def _sets() -> str:
    rows = [
        f"| `{name}` | {_size(for_set(name))} | {', '.join(features) or 'the built-in demo model'} |"
        for name, features in SETS.items()
    ]
    return "\n".join(["| set | size | features |", "|---|---|---|", *rows])


def _features() -> str:
    rows = [
        f"| `{feature}` | {_size(for_features([feature]))} | {len(for_features([feature]))} |"
        for feature in FEATURES
    ]
    return "\n".join(["| feature | size | files |", "|---|---|---|", *rows])


def _files() -> str:
    head = ["| file | size | features | licence | sha256 |", "|---|---|---|---|---|"]
    return "\n".join([*head, *map(_row, CATALOGUE)])


def _row(file: ModelFile) -> str:
    cells = (
        f"[`{file.path}`]({file.urls[0]})",
        human(file.bytes),
        ", ".join(file.features) or "by name only",
        f"[{file.licence}]({file.origin})",
        f"`{file.sha256[:16]}…`" if file.sha256 else "not known",
    )
    return f"| {' | '.join(cells)} |"


def _size(files: Sequence[ModelFile]) -> str:
    """Sum of the sizes; `over` where one of them is not known."""
    known = human(sum(file.bytes or 0 for file in files))
    return f"over {known}" if any(file.bytes is None for file in files) else known
