"""Pictures in a folder, for a run from the command line."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

from handler.storage.names import safe_name
from schemas.errors import StorageUnavailable

log = logging.getLogger(__name__)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalStore:
    """Keeps the files of one job in a new folder `<root>/<job id>` and returns `file://` URLs.

    A folder of an earlier job is never written to: the next one is `<job id>-2`, `<job id>-3`, …. Everything
    below `root` is opened relative to it and without following links.
    """

    def __init__(self, root: Path, job_id: str) -> None:
        self._root = root.absolute()
        self._job_id = job_id
        self._folder: str | None = None
        self._lock = threading.Lock()

    def put(self, name: str, data: bytes, content_type: str) -> str:
        """See Store. A file appears complete or not at all."""
        safe = safe_name(name)
        try:
            with self._opened() as (folder, path):
                _write(folder, safe, data)
        except OSError as error:
            log.error("Storage: the outputs folder cannot be written: %s", error.strerror)
            raise StorageUnavailable("The images were made but the outputs folder cannot be written") from None
        return (path / safe).as_uri()

    def remove(self, name: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._folder is None:
                return
            folder = self._root / self._folder
            (folder / safe_name(name)).unlink()
            folder.rmdir()
            self._folder = None

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[int, Path]]:
        """The job's folder as a descriptor and as a path; made when it is first needed."""
        self._root.mkdir(parents=True, exist_ok=True)
        root = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with self._lock:
                self._folder = self._folder or _new_folder(root, safe_name(self._job_id))
            folder = os.open(self._folder, _FOLDER, dir_fd=root)
        finally:
            os.close(root)
        try:
            yield folder, self._root / self._folder
        finally:
            os.close(folder)


def _new_folder(root: int, name: str) -> str:
    """Make `name` or, where that exists, the first free `name-2`, `name-3`, …; return which."""
    for number in itertools.count(1):
        candidate = name if number == 1 else f"{name}-{number}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(candidate, dir_fd=root)
            return candidate
    raise AssertionError("Counting ended. This is a bug.")


def _write(folder: int, name: str, data: bytes) -> None:
    partial = f".{secrets.token_hex(8)}.part"
    try:
        with os.fdopen(os.open(partial, _NEW_FILE, 0o644, dir_fd=folder), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.rename(partial, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(partial, dir_fd=folder)
        raise
