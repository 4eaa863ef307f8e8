"""Which catalogue files a command line means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from builder.failures import UnknownName
from schemas.catalogue import CATALOGUE, FEATURES, SETS, ModelFile, by_name, for_features


def select(names: Sequence[str], features: Sequence[str], sets: Sequence[str]) -> tuple[ModelFile, ...]:
    """The files named, those of the features and those of the sets, each once, in the catalogue's order.

    Raises UnknownName for a name that is unknown or belongs to several files.
    """
    chosen = {_named(name) for name in names}
    chosen.update(for_features(_known(features, FEATURES, "feature")))
    for name in _known(sets, SETS, "set"):
        chosen.update(for_features(SETS[name]))
    return tuple(file for file in CATALOGUE if file in chosen)


def _named(name: str) -> ModelFile:
    file = by_name(name)
    if file is not None:
        return file
    paths = [file.path for file in CATALOGUE if file.name == name]
    if paths:
        raise UnknownName(f"several files are called {name}: {', '.join(paths)}")
    known = [file.path for file in CATALOGUE] + [file.name for file in CATALOGUE]
    raise UnknownName(_unknown("file", name, known))


def _known(names: Sequence[str], known: Iterable[str], kind: str) -> Sequence[str]:
    known = list(known)
    for name in names:
        if name not in known:
            raise UnknownName(f"{_unknown(kind, name, known)} (known: {', '.join(known)})")
    return names


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = [other for other in known if name.lower() in other.lower()] or get_close_matches(name, known, n=1)
    return f"the catalogue has no {kind} {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")
