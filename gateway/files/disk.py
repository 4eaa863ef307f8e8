"""Bytes on disk: written whole or not at all, on disk before anyone hears of them, opened without following links."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gateway.files.names import HEAD_SIZE, media_type, new_id
from schemas.errors import PayloadTooLarge, StorageFull

T = TypeVar("T")

CHUNK = 1024 * 1024
"""Bytes written or read at a time."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class Blob:
    """Content on disk. name: its file's name. media_type: by content."""

    name: str
    size: int
    sha256: str
    media_type: str


class Disk:
    """A folder of blobs. `incoming` holds what is being written; a rename makes it a blob."""

    def __init__(self, root: Path, min_free: int) -> None:
        self._blobs, self._incoming, self.parts = root / "blobs", root / "incoming", root / "parts"
        self._min_free = min_free
        self._threads = ThreadPoolExecutor(4, "files")
        for folder in (self._blobs, self._incoming, self.parts):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def run(self, work: Callable[[], T]) -> T:
        """Call `work` in one of the threads that may wait for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def write(self, data: AsyncIterator[bytes] | bytes, max_size: int) -> Blob:
        """Store `data`; when this returns it outlives a power cut.

        PayloadTooLarge beyond `max_size`; StorageFull when the disk is. Nothing is left of a write that fails or is
        cancelled.
        """
        sink = await self.run(self._sink)
        try:
            async for chunk in _chunks(data):
                if sink.size + len(chunk) > max_size:
                    raise PayloadTooLarge(f"The file is larger than {max_size} bytes")
                await self.run(lambda chunk=chunk: sink.write(chunk))
            return await self.run(sink.commit)
        except BaseException:
            sink.discard()
            raise

    def join(self, sources: Iterator[bytes]) -> Blob:
        """Store `sources` one after the other as one blob, as `write` does, in the calling thread."""
        sink = self._sink()
        try:
            for chunk in sources:
                sink.write(chunk)
            return sink.commit()
        except BaseException:
            sink.discard()
            raise

    def open(self, name: str) -> int:
        """A file descriptor of a blob. FileNotFoundError if there is none; a link is none."""
        try:
            return os.open(self._blobs / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise FileNotFoundError(name) from None
            raise

    def read(self, name: str) -> bytes:
        with os.fdopen(self.open(name), "rb") as file:
            return file.read()

    def remove(self, name: str) -> None:
        (self._blobs / name).unlink(missing_ok=True)

    def names(self) -> set[str]:
        """All blobs there are."""
        with os.scandir(self._blobs) as entries:
            return {entry.name for entry in entries}

    def clear_incoming(self) -> int:
        """Drop what a stopped process left half-written; how many."""
        left = list(self._incoming.iterdir())
        for path in left:
            path.unlink()
        return len(left)

    def check_space(self) -> None:
        """StorageFull when the disk has less than `min_free` bytes left."""
        if shutil.disk_usage(self._blobs).free < self._min_free:
            raise StorageFull

    def close(self) -> None:
        self._threads.shutdown()

    def _sink(self) -> _Sink:
        self.check_space()
        name = new_id()
        with disk_errors():
            return _Sink(self._incoming / name, self._blobs / name)


class _Sink:
    """One blob on its way. The lock keeps `discard`, which a cancelled caller runs, from closing under a write."""

    def __init__(self, temporary: Path, final: Path) -> None:
        self._temporary, self._final = temporary, final
        self._lock = threading.Lock()
        self._digest = hashlib.sha256()
        self._head = b""
        self.size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.fdopen(os.open(temporary, flags, 0o600), "wb", buffering=0)

    def write(self, data: bytes) -> None:
        with self._lock, disk_errors():
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            self._digest.update(data)
            self._head = (self._head + data[:HEAD_SIZE])[:HEAD_SIZE]
            self.size += len(data)

    def commit(self) -> Blob:
        with self._lock, disk_errors():
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.rename(self._final)
            sync_folder(self._final.parent)
        return Blob(self._final.name, self.size, self._digest.hexdigest(), media_type(self._head))

    def discard(self) -> None:
        with self._lock:
            with suppress(OSError):
                self._file.close()
            for path in (self._temporary, self._final):
                path.unlink(missing_ok=True)


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


async def _chunks(data: AsyncIterator[bytes] | bytes) -> AsyncIterator[bytes]:
    """`data` in pieces of about CHUNK: a thread is asked once per piece, not once per packet."""
    if isinstance(data, bytes):
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]
        return
    waiting = bytearray()
    async for piece in data:
        waiting += piece
        if len(waiting) >= CHUNK:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)
