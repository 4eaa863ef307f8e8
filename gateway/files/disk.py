"""Bytes on disk: written whole or not at all, on disk before anyone hears of them, opened without following links."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

from gateway.files.names import new_id
from gateway.files.sink import Blob, Sink, disk_errors
from schemas.errors import PayloadTooLarge, StorageFull

T = TypeVar("T")

CHUNK = 1024 * 1024
"""Bytes written or read at a time."""

Chunks = AsyncIterator[bytes] | bytes


class Disk:
    """A folder of blobs. `incoming` holds what is being written; a rename makes it a blob. min_free: bytes that files
    leave free."""

    def __init__(self, root: Path, min_free: int) -> None:
        self._blobs, self._incoming, self.parts = root / "blobs", root / "incoming", root / "parts"
        self.min_free = min_free
        self._threads = ThreadPoolExecutor(4, "files")
        for folder in (self._blobs, self._incoming, self.parts):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def run(self, work: Callable[[], T]) -> T:
        """Call `work` in one of the threads that may wait for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def write(self, data: Chunks, max_size: int) -> Blob:
        """Store `data`; when this returns it outlives a power cut.

        PayloadTooLarge beyond `max_size`; StorageFull when the disk is. Nothing is left of a write that fails or is
        cancelled.
        """
        return await self._write(data, max_size, lambda sink: sink.commit(self._blobs / sink.name))

    async def write_part(self, data: AsyncIterator[bytes], max_size: int, folder: str, number: int) -> str:
        """Store one part of an upload as `write` does, but not proof against a power cut; returns its tag."""
        target = self.parts / folder

        def move(sink: Sink) -> str:
            target.mkdir(mode=0o700, exist_ok=True)
            return sink.move(target, number)

        return await self._write(data, max_size, move)

    async def _write(self, data: Chunks, max_size: int, end: Callable[[Sink], T]) -> T:
        sink = await self._opened()
        try:
            async for chunk in _chunks(data):
                if sink.size + len(chunk) > max_size:
                    raise PayloadTooLarge(f"The file is larger than {max_size} bytes")
                await self.run(lambda chunk=chunk: sink.write(chunk))
            return await self.run(lambda: end(sink))
        except BaseException:
            sink.discard()
            raise

    async def _opened(self) -> Sink:
        """A new blob to write, of which nothing is left if the caller is cancelled while a thread makes it."""
        opening = asyncio.ensure_future(self.run(self.sink))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_discard)
            raise

    def join(self, pieces: Iterator[bytes]) -> Blob:
        """Store `pieces` one after the other as `write` does, in the calling thread."""
        sink = self.sink()
        try:
            for piece in pieces:
                sink.write(piece)
            return sink.commit(self._blobs / sink.name)
        except BaseException:
            sink.discard()
            raise

    def open(self, name: str) -> BinaryIO:
        """A blob, to be closed by the caller. FileNotFoundError if there is none; a link is none."""
        try:
            descriptor = os.open(self._blobs / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            return os.fdopen(descriptor, "rb", buffering=0)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise FileNotFoundError(name) from None
            raise

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
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

    def has_room(self) -> bool:
        """Whether the disk has at least `min_free` bytes left."""
        return shutil.disk_usage(self._blobs).free >= self.min_free

    def close(self) -> None:
        self._threads.shutdown()

    def parts_of(self, folder: str) -> dict[int, Path]:
        """The parts of an upload that are there, by number."""
        try:
            return {int(path.name.partition("-")[0]): path for path in (self.parts / folder).iterdir()}
        except FileNotFoundError:
            return {}

    def drop_parts(self, folder: str) -> None:
        shutil.rmtree(self.parts / folder, ignore_errors=True)

    def sink(self) -> Sink:
        """A new blob to write. StorageFull."""
        if not self.has_room():
            raise StorageFull
        with disk_errors():
            return Sink(self._incoming / new_id())


def _discard(opening: asyncio.Future[Sink]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().discard()


async def _chunks(data: Chunks) -> AsyncIterator[bytes]:
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
