"""Where the files of the describing models lie: below `clip_vision/` of a models folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from schemas.errors import ModelMissing

FOLDER = "clip_vision"


def find(roots: Sequence[Path], what: str, *files: Sequence[str]) -> list[Path]:
    """One path for each of `files`, all in the first folder that has them all.

    files: the names each may have, the catalogue's last. Raises ModelMissing, which names what a folder lacks.
    """
    found = [[_first(root / FOLDER, names) for names in files] for root in roots]
    for paths in found:
        complete = [path for path in paths if path is not None]
        if len(complete) == len(files):
            return complete
    nearest = max(found, key=lambda paths: len(paths) - paths.count(None), default=[None] * len(files))
    missing = [names[-1] for names, path in zip(files, nearest, strict=True) if path is None]
    raise ModelMissing(
        f"{what} needs {', '.join(f'{FOLDER}/{name}' for name in missing)}, which is not installed. "
        f"Run: python -m builder fetch {' '.join(Path(name).name for name in missing)}"
    )


def _first(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)
