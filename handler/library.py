"""Model files by the names requests use: installed names, catalogue URLs, and any other URL."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from handler.media.fetch import FetchPolicy, download
from schemas.catalogue import by_url
from schemas.errors import Location, ModelLoadError

Verify = Callable[[Path, Location], None]
"""Raises InvalidInput when the file is no usable LoRA."""

CACHE = "loras_by_url"
ABANDONED_S = 86_400


@dataclass
class LoraLibrary:
    """LoRA files of the models folders, in order of precedence, plus a disk cache of fetched ones.

    roots: folders in Fooocus's layout. cache_dir: where fetched files go. cache_bytes: their quota.
    """

    roots: tuple[Path, ...]
    cache_dir: Path
    cache_bytes: int
    policy: FetchPolicy
    verify: Verify
    _locks: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def files(self) -> dict[str, Path]:
        """Installed LoRAs by name: the path below `loras/`, with forward slashes."""
        found: dict[str, Path] = {}
        for root in self.roots:
            folder = root / "loras"
            for path in sorted(folder.rglob("*.safetensors")):
                found.setdefault(path.relative_to(folder).as_posix(), path)
        return found

    def find(self, source: str, loc: Location) -> Path:
        """The local file of a name, a path below `loras/`, or a URL. Raises InvalidInput at `loc`."""
        known = by_url(source)
        if known is not None:
            installed = self._installed(known.name)
            return installed or self._fetched(source, loc, known.sha256)
        if urlsplit(source).scheme and "://" in source:
            return self._fetched(source, loc, None)
        path = self._installed(source)
        if path is None:
            raise ModelLoadError(loc, input=source, message="No LoRA of this name is installed")
        return path

    def _installed(self, name: str) -> Path | None:
        files = self.files()
        if name in files:
            return files[name]
        return next((path for file, path in files.items() if name in _short_names(file)), None)

    def _fetched(self, url: str, loc: Location, sha256: str | None) -> Path:
        key = hashlib.sha256(url.encode()).hexdigest()[:32]
        path = self.cache_dir / f"{key}.safetensors"
        with self._locks[key]:
            if _used(path):
                return path
            self.cache_dir.mkdir(parents=True, exist_ok=True)
            # Workers of one network volume share the folder, and may fetch the same file at once.
            partial = self.cache_dir / f"{key}.{secrets.token_hex(8)}.new"
            try:
                download(url, partial, loc, self.policy)
                _check_sha256(partial, sha256, loc)
                self.verify(partial, loc)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
        self._make_room(path)
        return path

    def _make_room(self, keep: Path) -> None:
        """Delete the least recently used fetched files beyond the quota, and what workers that died left."""
        for file in (*self.cache_dir.glob("*.new"), *self.cache_dir.glob(".download.*")):
            if (status := _status(file)) and status.st_mtime < time.time() - ABANDONED_S:
                file.unlink(missing_ok=True)
        found = ((file, _status(file)) for file in self.cache_dir.glob("*.safetensors"))
        files = sorted(((file, status) for file, status in found if status), key=lambda item: item[1].st_mtime)
        excess = sum(status.st_size for _, status in files) - self.cache_bytes
        for file, status in files:
            if excess > 0 and file != keep:
                excess -= status.st_size
                file.unlink(missing_ok=True)


def _used(path: Path) -> bool:
    """Mark a file as used now; whether it is there."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _status(file: Path) -> os.stat_result | None:
    """None if another worker has deleted it."""
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def _short_names(file: str) -> tuple[str, str]:
    path = PurePosixPath(file)
    return path.name, path.stem


def _check_sha256(path: Path, expected: str | None, loc: Location) -> None:
    if expected is None:
        return
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != expected:
            raise ModelLoadError(loc, message="The downloaded file is not the one the catalogue knows")
