"""Installed models by the names requests use: checkpoints, and VAEs to decode with in the place of a checkpoint's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.catalogue import by_name
from schemas.errors import Location, ModelLoadError

Elsewhere = Callable[[str], Path | None]


def _nowhere(_name: str) -> Path | None:
    return None


@dataclass(frozen=True)
class Library:
    """The models of one kind in the models folders.

    roots: folders in Fooocus's layout, in order of precedence. folder: the kind's place in them. index: the file that
    makes a folder one model, as diffusers writes them. word: what people call such a model. elsewhere: name -> one that
    is in none of these folders, if there is one.
    """

    roots: tuple[Path, ...]
    folder: str
    index: str
    word: str
    elsewhere: Elsewhere = _nowhere

    def files(self) -> dict[str, Path]:
        """Files, and folders as diffusers writes them, by name: the path below the kind's folder, forward slashes."""
        found: dict[str, Path] = {}
        for root in self.roots:
            below = root / self.folder
            whole = {index.parent for index in below.rglob(self.index)}
            single = (file for file in below.rglob("*.safetensors") if whole.isdisjoint(file.parents))
            for path in sorted([*whole, *single]):
                found.setdefault(path.relative_to(below).as_posix(), path)
        return found

    def find(self, name: str, loc: Location) -> Path:
        """The model of a name, or of a path below the kind's folder. Raises ModelLoadError at `loc`."""
        files = self.files()
        path = files.get(name) or next((path for path in files.values() if name == path.name), None)
        path = path or self.elsewhere(name)
        if path is None:
            raise ModelLoadError(loc, input=name, message=self._how_to_get(name))
        return path

    def _how_to_get(self, name: str) -> str:
        known = by_name(f"{self.folder}/{name}")
        if known is None:
            return f"No {self.word} of this name is installed"
        return f"This {self.word} is not installed. Run: python -m builder fetch {known.name}"


def checkpoint_library(roots: tuple[Path, ...], elsewhere: Elsewhere = _nowhere) -> Library:
    """What `base_model` and `refiner_model` may name."""
    return Library(roots, "checkpoints", "model_index.json", "checkpoint", elsewhere)


def vae_library(roots: tuple[Path, ...]) -> Library:
    """What `vae_name` may name."""
    return Library(roots, "vae", "config.json", "VAE")
