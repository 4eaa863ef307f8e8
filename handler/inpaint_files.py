"""The installed files that make a base network one that repaints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from handler.plan.inpaint import NetworkFiles
from schemas.enums import InpaintEngine
from schemas.errors import Location, ModelMissing

FOLDER = "inpaint"
HEAD = "fooocus_inpaint_head.pth"
PATCHES = {
    InpaintEngine.V1: "inpaint.fooocus.patch",
    InpaintEngine.V25: "inpaint_v25.fooocus.patch",
    InpaintEngine.V26: "inpaint_v26.fooocus.patch",
}
SAFE = ".safetensors"
"""A file of this ending is preferred to the catalogue's of the same stem."""


@dataclass(frozen=True)
class InpaintLibrary:
    """roots: models folders, in order of precedence. required: whether an engine without its files is an error.

    Where it is none, pictures are repainted as with the engine "None": the demo model has no files of its own.
    """

    roots: tuple[Path, ...]
    required: bool

    def find(self, engine: InpaintEngine, loc: Location) -> NetworkFiles:
        """Head and patch of an engine. Raises ModelMissing with the command that fetches what is not installed."""
        if engine not in PATCHES:
            return ()
        wanted = (HEAD, PATCHES[engine])
        found = {name: path for name in wanted if (path := self._installed(name))}
        if len(found) == len(wanted):
            return ((found[HEAD], found[PATCHES[engine]]),)
        if not self.required:
            return ()
        missing = " ".join(name for name in wanted if name not in found)
        raise ModelMissing(
            f"{'.'.join(map(str, loc[1:]))} {engine} needs {missing}, not installed. "
            f"Run: python -m builder fetch {missing}"
        )

    def _installed(self, name: str) -> Path | None:
        folders = [root / FOLDER for root in self.roots]
        places = [folder / file for folder in folders for file in (Path(name).stem + SAFE, name)]
        return next((place for place in places if place.is_file()), None)
