"""SQL by name: the files of a package's `sql` folder."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files


def queries(package: str) -> Mapping[str, str]:
    """The text of every `sql/<name>.sql` of `package`, by name."""
    folder = files(package) / "sql"
    return {path.name.removesuffix(".sql"): path.read_text("utf-8") for path in folder.iterdir()}
