"""Installed checkpoints by the names requests use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schemas.catalogue import by_name
from schemas.errors import Location, ModelLoadError

FOLDER = "checkpoints"


@dataclass(frozen=True)
class CheckpointLibrary:
    """The checkpoints of the models folders. roots: folders in Fooocus's layout, in order of precedence."""

    roots: tuple[Path, ...]

    def files(self) -> dict[str, Path]:
        """Files, and folders as diffusers writes them, by name: the path below `checkpoints/`, forward slashes."""
        found: dict[str, Path] = {}
        for root in self.roots:
            folder = root / FOLDER
            indexes = (index.parent for index in folder.rglob("model_index.json"))
            singles = (
                file for file in folder.rglob("*.safetensors") if not (file.parent.parent / "model_index.json").exists()
            )
            for path in sorted([*indexes, *singles]):
                found.setdefault(path.relative_to(folder).as_posix(), path)
        return found

    def find(self, name: str, loc: Location) -> Path:
        """The checkpoint of a name, or of a path below `checkpoints/`. Raises ModelLoadError at `loc`."""
        files = self.files()
        path = files.get(name) or next((path for path in files.values() if name == path.name), None)
        if path is None:
            raise ModelLoadError(loc, input=name, message=_how_to_get(name))
        return path


def _how_to_get(name: str) -> str:
    known = by_name(f"{FOLDER}/{name}")
    if known is None:
        return "No checkpoint of this name is installed"
    return f"This checkpoint is not installed. Run: python -m builder fetch {known.name}"
