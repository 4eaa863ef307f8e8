"""Textual inversion: files of vectors that `embedding:NAME` puts into a prompt."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from torch import Tensor

from handler.engine.tokens import ROOM, Vector
from handler.engine.weights import WeightsFile, reported_at

MAX_BYTES = 16 * 2**20


class Embeddings:
    """A folder of `NAME.safetensors` files with `clip_l` and `clip_g`, each [vectors, dim of that encoder]."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def count(self, key: str, name: str, dim: int) -> int:
        """How many vectors NAME has for an encoder of this width; 0 without such a file, vectors, or width.

        Raises ModelLoadError for a damaged file.
        """
        found = self._vectors(name).get(key)
        return len(found) if found is not None and found.ndim == 2 and found.shape[1] == dim else 0

    def vector(self, key: str, token: Vector) -> Tensor:
        """The vector [dim] of a token that `count` has admitted."""
        return self._vectors(token.name)[key][token.row]

    def _vectors(self, name: str) -> dict[str, Tensor]:
        # The name comes from a prompt: nothing but a plain file name may reach the disk.
        if self._folder is None or not name or name.startswith(".") or Path(name).name != name or "\0" in name:
            return {}
        path = self._folder / f"{name}.safetensors"
        try:
            stat = path.stat()
        except OSError:
            return {}
        return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, mtime_ns: int, size: int) -> dict[str, Tensor]:
    with reported_at(("body", "prompt")), WeightsFile(path) as file:
        if size > MAX_BYTES:
            return {}
        vectors = {key: file.read(key).float() for key in ("clip_l", "clip_g") if key in file.entries}
    return {key: value for key, value in vectors.items() if value.ndim == 2 and 0 < len(value) <= ROOM}
