"""Where models are found: cached by RunPod, baked into the image, on a network volume; in this order.

RunPod's cached models lie as Hugging Face's own cache does (https://huggingface.co/docs/huggingface_hub/guides/manage-cache):
`models--ORG--NAME/refs/main` holds the name of a folder below `models--ORG--NAME/snapshots/`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from handler.settings import Settings
from schemas.errors import ModelMissing

CHECKPOINTS = "checkpoints"
DEMO_BUNDLE = Path(__file__).parents[1] / "builder" / "demo" / "bundle"
DEMO_CHECKPOINT = DEMO_BUNDLE / CHECKPOINTS / "fooocus_worker_demo"
CACHED = "hf:"
"""Begins the name of a cached checkpoint: `hf:ORG/NAME`, or `hf:ORG/NAME/FILE` for one file of it."""

HUB = Path("huggingface-cache") / "hub"
_REPOSITORY = "models--"
_SNAPSHOTS = "snapshots"
_INDEX = "model_index.json"


@dataclass(frozen=True)
class ModelsFolders:
    """baked: a folder in Fooocus's layout, whether it is there or not. volume: where RunPod mounts its volume."""

    baked: Path
    volume: Path

    @property
    def hub(self) -> Path:
        """The folder of RunPod's cached models."""
        return self.volume / HUB

    def roots(self) -> tuple[Path, ...]:
        """The folders in Fooocus's layout in order of precedence; the volume's only where they are there."""
        models = self.volume / "models"
        layouts = [models] if models.is_dir() else []
        if (self.volume / CHECKPOINTS).is_dir():
            layouts.append(self.volume)
        return self.baked, *(folder for folder in layouts if folder != self.baked)

    def find(self, name: str) -> Path:
        """The file or diffusers folder of a checkpoint: `hf:ORG/NAME[/FILE]`, or a path below `checkpoints/`.

        A plain name may also be a file of a cached model. Raises ModelMissing with the places that were looked at.
        """
        if name.startswith(CACHED):
            return self._cached(name.removeprefix(CACHED))
        folders = [root / CHECKPOINTS for root in self.roots()]
        installed = (folder / name for folder in folders)
        found = self.cached(name) or next((path for path in installed if path.exists()), None)
        if found is None:
            raise self._missing(name, [self.hub, *folders])
        return found

    def cached(self, name: str) -> Path | None:
        """The cached checkpoint of a name as `find` takes it. Names may come from anywhere: they lead nowhere else."""
        if name.startswith(CACHED):
            with contextlib.suppress(ModelMissing):
                return self._cached(name.removeprefix(CACHED))
            return None
        snapshots = filter(None, map(_snapshot, self._repositories().values()))
        return next((path for snapshot in snapshots if (path := _below(snapshot, name)) and path.is_file()), None)

    def _cached(self, name: str) -> Path:
        organisation, _, rest = name.partition("/")
        model, _, file = rest.partition("/")
        repository = self._repositories().get(f"{organisation}/{model}".lower())
        snapshot = repository and _snapshot(repository)
        if snapshot is None:
            raise self._missing(CACHED + name, [self.hub])
        found = _below(snapshot, file) if file else _only_checkpoint(snapshot)
        if found is None:
            files = ", ".join(_weights(snapshot)) or "no safetensors file"
            raise ModelMissing(f"{CACHED}{name} does not name one checkpoint. {snapshot} has {files}")
        return found

    def _repositories(self) -> dict[str, Path]:
        """The cached models by `org/name` in lower case: RunPod's folders are not always written as on the Hub."""
        folders = sorted(self.hub.iterdir()) if self.hub.is_dir() else []
        return {_repository_name(folder).lower(): folder for folder in folders if folder.name.startswith(_REPOSITORY)}

    def _missing(self, name: str, places: Sequence[Path]) -> ModelMissing:
        cached = ", ".join(_repository_name(folder) for folder in self._repositories().values()) or "none"
        looked = ", ".join(map(str, places))
        return ModelMissing(
            f"The checkpoint {name} was not found. Looked in {looked}; cached models: {cached}. "
            "`python -m builder list` shows what can be fetched"
        )


def model_folders(settings: Settings) -> tuple[Path, tuple[Path, ...]]:
    """(the checkpoint, the models folders in order of precedence). Raises ModelMissing."""
    folders = ModelsFolders(settings.models_dir, settings.volume_dir)
    if settings.checkpoint is None:
        return DEMO_CHECKPOINT, (DEMO_BUNDLE, *folders.roots())
    return folders.find(settings.checkpoint), folders.roots()


def holder(roots: Sequence[Path], name: str) -> Path:
    """The first models folder that has `name`, a path below it; the first of all where none has."""
    return next((root for root in roots if (root / name).exists()), roots[0])


def checkpoint_name(path: Path) -> str:
    """What a checkpoint is called where people read it: its file or folder, `ORG/NAME` for a cached model."""
    return _repository_name(path.parent.parent) if path.parent.name == _SNAPSHOTS else path.name


def _repository_name(folder: Path) -> str:
    return folder.name.removeprefix(_REPOSITORY).replace("--", "/", 1)


def _snapshot(repository: Path) -> Path | None:
    """The snapshot `refs/main` names, else the first."""
    folders = {folder.name: folder for folder in sorted((repository / _SNAPSHOTS).glob("*")) if folder.is_dir()}
    reference = repository / "refs" / "main"
    named = folders.get(reference.read_text("utf-8").strip()) if reference.is_file() else None
    return named or next(iter(folders.values()), None)


def _below(snapshot: Path, name: str) -> Path | None:
    """The file or folder of this name in the snapshot, whatever its case."""
    paths = {path.relative_to(snapshot).as_posix(): path for path in sorted(snapshot.rglob("*")) if path.exists()}
    return paths.get(name) or next((path for file, path in paths.items() if file.lower() == name.lower()), None)


def _only_checkpoint(snapshot: Path) -> Path | None:
    """The snapshot itself if it is a diffusers folder, else its only file of weights."""
    if (snapshot / _INDEX).exists():
        return snapshot
    files = _weights(snapshot)
    return snapshot / files[0] if len(files) == 1 else None


def _weights(snapshot: Path) -> list[str]:
    return [path.name for path in sorted(snapshot.glob("*.safetensors")) if path.exists()]
