"""Content on its way to disk."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.files.names import HEAD_SIZE, media_type
from schemas.errors import StorageFull

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

TAG_LENGTH = 32
"""Hexadecimal digits of a content's SHA-256 that serve as its ETag."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Content on disk. name: its file's name. media_type: by content."""

    name: str
    size: int
    sha256: str
    media_type: str


class Sink:
    """One file being written, under a temporary name until `commit` or `move`.

    The lock keeps `discard`, which a cancelled caller runs, from closing the file under a write in a thread.
    """

    def __init__(self, temporary: Path) -> None:
        self.size = 0
        self._path = temporary
        self._lock = threading.Lock()
        self._digest = hashlib.sha256()
        self._head = b""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(temporary, flags, 0o600), "wb", buffering=0)

    @property
    def name(self) -> str:
        return self._path.name

    def write(self, data: bytes) -> None:
        with self._lock, disk_errors():
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            self._digest.update(data)
            self._head = (self._head + data[:HEAD_SIZE])[:HEAD_SIZE]
            self.size += len(data)

    def commit(self, final: Path) -> Blob:
        """Make what was written the file `final`, proof against a power cut."""
        with self._lock, disk_errors():
            os.fsync(self._file.fileno())
            self._rename(final)
            sync_folder(final.parent)
        return Blob(final.name, self.size, self._digest.hexdigest(), media_type(self._head))

    def move(self, folder: Path, number: int) -> str:
        """Make what was written part `number` in `folder`, in place of an earlier one; returns its tag."""
        tag = self._digest.hexdigest()[:TAG_LENGTH]
        with self._lock, disk_errors():
            earlier = [path for path in folder.glob(f"{number}-*") if path.name != f"{number}-{tag}"]
            self._rename(folder / f"{number}-{tag}")
            for path in earlier:
                path.unlink(missing_ok=True)
        return tag

    def discard(self) -> None:
        """Leave nothing behind, whatever had been done."""
        with self._lock:
            with suppress(OSError):
                self._file.close()
            self._path.unlink(missing_ok=True)

    def _rename(self, final: Path) -> None:
        self._file.close()
        self._path.rename(final)
        self._path = final


@contextmanager
def disk_errors() -> Iterator[None]:
    """A disk without room speaks as StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull from error
        raise


def sync_folder(path: Path) -> None:
    """Make a rename in `path` outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
