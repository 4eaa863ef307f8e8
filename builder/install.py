"""Catalogue files into the models folder: each is complete and verified before it gets its name."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.check import State, require_genuine, size_state, state
from builder.display import bar, human, say
from builder.failures import BuilderError, FileDamaged, SourceRefused
from builder.lock import exclusive
from builder.transfer import Downloader, on_disk
from schemas.catalogue import ModelFile

RESERVE = 64 << 20
"""Bytes left free on the disk."""


@dataclass(frozen=True)
class Installer:
    """folder: the models folder. check: read files that are already there and replace damaged ones."""

    folder: Path
    downloader: Downloader
    check: bool = False

    def install(self, files: Sequence[ModelFile]) -> list[str]:
        """Bring every file that is not there; one line for each that could not be had.

        Raises BuilderError before the first byte when the disk cannot hold them all, and for a folder that
        cannot be written.
        """
        failures: list[str] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._require_space(files)
            for file in files:
                try:
                    self._install(file)
                except BuilderError as error:
                    say(f"{file.path}: {error}")
                    failures.append(f"{file.path}: {error}")
        except OSError as error:
            raise BuilderError(f"{error.filename or self.folder}: {error.strerror}") from error
        return failures

    def _require_space(self, files: Iterable[ModelFile]) -> None:
        needed = sum(self._still_to_come(file) for file in files)
        free = shutil.disk_usage(self.folder).free
        if needed and needed + RESERVE > free:
            raise BuilderError(f"{human(needed)} are to come and {self.folder} has {human(free)} free")

    def _still_to_come(self, file: ModelFile) -> int:
        path = self.folder / file.path
        if size_state(file, path) is State.UNCHECKED:
            return 0
        return max(0, (file.bytes or 0) - on_disk(_beside(path, ".part")))

    def _install(self, file: ModelFile) -> None:
        path = self.folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = f"{file.path}: another fetch is at work on it; waiting"
        with exclusive(_beside(path, ".lock"), lambda: say(waiting)):
            if self._is_here(file, path):
                say(f"{file.path}: already here")
                return
            say(terms(file))
            part = _beside(path, ".part")
            self._bring(file, part)
            _settle(part, path)
            say(f"{file.path}: complete")

    def _is_here(self, file: ModelFile, path: Path) -> bool:
        found = size_state(file, path)
        if self.check and found is State.UNCHECKED:
            with bar(f"checking {file.name}", file.bytes) as advance:
                found = state(file, path, advance)
        if found.usable or found is State.MISSING:
            return found.usable
        aside = _beside(path, ".corrupted")
        path.replace(aside)
        say(f"{file.path}: {found}; set aside as {aside.name}")
        return False

    def _bring(self, file: ModelFile, part: Path) -> None:
        """Fill and verify `part` from the first source that gives the right bytes. Raises BuilderError."""
        reasons: list[str] = []
        sources = deque(file.urls)
        while sources:
            url = sources.popleft()
            if file.sha256 is None:
                # Nothing could tell later whether bytes of an earlier try belong to this source's file.
                part.unlink(missing_ok=True)
            continued = on_disk(part) > 0
            try:
                return self._fill(file, part, url)
            except SourceRefused as error:
                reasons.append(str(error))
            except FileDamaged as error:
                part.unlink()
                reasons.append(f"{error}; what was downloaded is removed")
                if continued:
                    say(f"{file.path}: the part that was already here does not fit; starting over")
                    sources.appendleft(url)
        raise BuilderError("; ".join(reasons))

    def _fill(self, file: ModelFile, part: Path, url: str) -> None:
        with bar(file.name, file.bytes) as advance:
            self.downloader.fill(part, url, file.bytes, advance)
        with bar(f"checking {file.name}", file.bytes) as advance:
            require_genuine(file, part, advance)


def terms(file: ModelFile) -> str:
    """What an operator accepts by downloading the file."""
    note = f"\n  {file.note}" if file.note else ""
    return f"{file.path} ({human(file.bytes)})\n  licence: {file.licence}, see {file.origin}{note}"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _settle(part: Path, path: Path) -> None:
    """Give the finished file its name, after its bytes reached the disk."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)
