"""Whether a file on disk is the one the catalogue describes."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path

from builder.failures import FileDamaged
from builder.transfer import Advance
from schemas.catalogue import ModelFile

BLOCK = 4 << 20


class State(StrEnum):
    """What `verify` says of a file."""

    OK = "ok"
    UNCHECKED = "unchecked"
    MISSING = "missing"
    WRONG_SIZE = "wrong size"
    DAMAGED = "damaged"

    @property
    def usable(self) -> bool:
        return self in (State.OK, State.UNCHECKED)


def sha256(path: Path, advance: Advance) -> str:
    """The file's sha256 in hex; `advance` hears how many bytes are read."""
    digest, read = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            read += len(block)
            advance(read)
    return digest.hexdigest()


def size_state(file: ModelFile, path: Path) -> State:
    """What existence and size alone say: MISSING, WRONG_SIZE or UNCHECKED."""
    if not path.is_file():
        return State.MISSING
    if file.bytes is not None and path.stat().st_size != file.bytes:
        return State.WRONG_SIZE
    return State.UNCHECKED


def state(file: ModelFile, path: Path, advance: Advance) -> State:
    """As `size_state`, and the bytes are read: OK, DAMAGED, or UNCHECKED where nobody stated a sha256."""
    found = size_state(file, path)
    if found is not State.UNCHECKED or file.sha256 is None:
        return found
    return State.OK if sha256(path, advance) == file.sha256 else State.DAMAGED


def require_genuine(file: ModelFile, path: Path, advance: Advance) -> None:
    """Raises FileDamaged, with what was expected and found, unless size and sha256 fit."""
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes:
        raise FileDamaged(f"{file.path} has {size} bytes, the catalogue says {file.bytes}")
    if file.sha256 is not None and (found := sha256(path, advance)) != file.sha256:
        raise FileDamaged(f"{file.path} has the sha256 {found}, the catalogue says {file.sha256}")
