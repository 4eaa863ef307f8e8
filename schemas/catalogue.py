"""The model catalogue: every file a feature needs, where it comes from, how it is recognised, its licence.

`catalogue.json` holds the facts. Folders and names are those of Fooocus's `models/`, so that an existing
Fooocus installation can be used as it is. The worker resolves URLs and checks hashes with it; `builder`
fetches and verifies with it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field

HttpsUrl = Annotated[str, Field(pattern=r"^https://[a-z0-9.-]+/\S+$")]
FolderName = Annotated[str, Field(pattern=r"^[a-z0-9_-]+(/[a-z0-9_-]+)*$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")]


class ModelFile(BaseModel):
    """One file.

    bytes and sha256 are None where nobody has stated them; licence is "none stated" where the publisher
    names none, and `note` says what an operator should know before using it. `origin` is the page that states
    the licence. `urls` all serve exactly these bytes, the preferred one first; `aliases` are further URLs
    under which users name the same bytes. A file without `features` is an alternative, fetched by name only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: FileName
    folder: FolderName
    features: tuple[str, ...]
    bytes: Annotated[int, Field(gt=0)] | None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    licence: Annotated[str, Field(min_length=1)]
    note: str = ""
    non_commercial: bool = False
    origin: HttpsUrl
    urls: Annotated[tuple[HttpsUrl, ...], Field(min_length=1)]
    aliases: tuple[HttpsUrl, ...] = ()

    @property
    def path(self) -> str:
        """Where the file lies below the models folder, with forward slashes; unique in the catalogue."""
        return f"{self.folder}/{self.name}"


def _load() -> tuple[tuple[ModelFile, ...], dict[str, tuple[str, ...]]]:
    text = Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    files = tuple(ModelFile.model_validate(entry) for entry in document["files"])
    return files, {name: tuple(features) for name, features in document["sets"].items()}


def _named(files: Iterable[ModelFile]) -> dict[str, ModelFile]:
    """Files by path, and by bare name where only one file is called so."""
    files = tuple(files)
    uses = Counter(file.name for file in files)
    names = {file.name: file for file in files if uses[file.name] == 1}
    return names | {file.path: file for file in files}


CATALOGUE, SETS = _load()
"""All files in a stable order, and the features of each model set that the Dockerfile's `MODELS` may name."""

FEATURES: tuple[str, ...] = tuple(dict.fromkeys(feature for file in CATALOGUE for feature in file.features))

_BY_NAME = _named(CATALOGUE)
_BY_URL = {url: file for file in CATALOGUE for url in (*file.urls, *file.aliases)}


def by_name(name: str) -> ModelFile | None:
    """The file with this path (`loras/x.safetensors`), or with this bare name if only one has it."""
    return _BY_NAME.get(name)


def by_url(url: str) -> ModelFile | None:
    """The file this URL serves: exact but for `?download=true`, never by the last part of its path."""
    file = _BY_URL.get(url)
    return file if file is not None else _BY_URL.get(_without_download(url))


def _without_download(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    return urlunsplit(parts._replace(query="")) if parts.query == "download=true" else url


def for_features(features: Iterable[str]) -> tuple[ModelFile, ...]:
    """The files that any of these features needs, each once, in the catalogue's order.

    Raises KeyError with the name of an unknown feature.
    """
    wanted = set(features)
    for feature in wanted.difference(FEATURES):
        raise KeyError(feature)
    return tuple(file for file in CATALOGUE if wanted.intersection(file.features))


def for_set(name: str) -> tuple[ModelFile, ...]:
    """The files of a model set (`none`, `default`, `speed`, `full`). Raises KeyError for another name."""
    return for_features(SETS[name])
