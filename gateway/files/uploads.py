"""Files that are announced first and arrive later, whole or in parts, by whoever holds the token."""

from __future__ import annotations

import hashlib
import hmac
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.files import rows
from gateway.files.disk import CHUNK
from gateway.files.model import Kind, StoredFile
from gateway.files.names import is_id, new_id, safe_name
from gateway.files.sink import TAG_LENGTH, Blob
from schemas.errors import BadRequest, FileMissing, PayloadTooLarge

if TYPE_CHECKING:
    from gateway.files.files import Files

_PURPOSE = "upload"


@dataclass(frozen=True, slots=True)
class Upload:
    """An announced file. id and name: those of the file to be, so that its URL is known at once. ttl_s: how long the
    file is kept once it is there. expires_at: when the announcement lapses."""

    id: str
    name: str
    owner: str
    ttl_s: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an upload. number: from 1. etag: what the sender was told it got."""

    number: int
    etag: str


class Uploads:
    """Announced files. An upload's `token` is all that a sender needs: FileMissing without the right one.

    Content is taken as `Files.add` takes it, with the same errors.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self._limits = files.limits

    async def announce(self, name: str | None, owner: str, ttl_s: float | None = None) -> Upload:
        """Draw the address of a file to come. ttl_s: None means the limits' `file_ttl_s`."""
        ends = self._files.clock() + self._limits.upload_window_s
        kept_s = self._limits.file_ttl_s if ttl_s is None else ttl_s
        upload = Upload(new_id(), safe_name(name), owner, kept_s, ends)
        await self._files.store.write(
            lambda connection: rows.change(connection, "insert_upload", **asdict(upload))
        )
        return upload

    def token(self, upload: Upload) -> str:
        return self._files.tokens.make(_PURPOSE, upload.id)

    def url(self, upload: Upload, base_url: str) -> str:
        """Where the file will be read."""
        return f"{base_url}/files/{upload.id}/{upload.name}"

    async def receive(self, upload_id: str, token: str, data: AsyncIterator[bytes]) -> StoredFile:
        """The whole file; sent again, it replaces what was there."""
        upload = await self._find(upload_id, token)
        return await self._record(upload, await self._files.disk.write(data, self._limits.max_file))

    async def receive_part(self, upload_id: str, token: str, number: int, data: AsyncIterator[bytes]) -> Part:
        """One part, in any order; sent again, it replaces the earlier one. BadRequest for a number that cannot be."""
        upload = await self._find(upload_id, token)
        if not 1 <= number <= self._limits.max_parts:
            raise BadRequest(f"Parts are numbered from 1 to {self._limits.max_parts}")
        disk = self._files.disk
        there = await disk.run(lambda: sum(path.stat().st_size for path in disk.parts_of(upload.id).values()))
        room = self._limits.max_file - there
        return Part(number, await disk.write_part(data, room, upload.id, number))

    async def complete(self, upload_id: str, token: str, parts: Sequence[Part]) -> StoredFile:
        """Join the parts by number; said again, it gives the same file.

        BadRequest, naming the part, unless `parts` lists exactly what arrived.
        """
        upload = await self._find(upload_id, token)
        disk = self._files.disk
        there = await disk.run(lambda: disk.parts_of(upload.id))
        stored = None if there else await self._files.find(upload.id)
        if stored is not None:
            return stored
        chosen = _matched(parts, there)
        if sum(path.stat().st_size for path in chosen) > self._limits.max_file:
            raise PayloadTooLarge
        blob = await disk.run(lambda: disk.join(_contents(chosen)))
        file = await self._record(upload, blob)
        await disk.run(lambda: disk.drop_parts(upload.id))
        return file

    async def abort(self, upload_id: str, token: str) -> None:
        """Forget the announcement and what has arrived of it."""
        upload = await self._find(upload_id, token)
        await self._files.store.write(lambda connection: rows.change(connection, "drop_upload", id=upload.id))
        await self._files.disk.run(lambda: self._files.disk.drop_parts(upload.id))

    async def _find(self, upload_id: str, token: str) -> Upload:
        if not is_id(upload_id) or not self._files.tokens.check(_PURPOSE, upload_id, token):
            raise FileMissing
        now = self._files.clock()

        def read(connection: sqlite3.Connection) -> Upload | None:
            row = connection.execute(rows.SQL["find_upload"], {"id": upload_id, "now": now}).fetchone()
            return row and Upload(**dict(row))

        upload = await self._files.store.read(read)
        if upload is None:
            raise FileMissing
        return upload

    async def _record(self, upload: Upload, blob: Blob) -> StoredFile:
        file = self._files.describe(blob, upload.id, upload.name, upload.owner, Kind.UPLOAD, upload.ttl_s)
        return await self._files.record(file)


def _matched(parts: Sequence[Part], there: dict[int, Path]) -> list[Path]:
    """The files of `parts` by number."""
    wanted = {part.number: part.etag.strip('"') for part in parts}
    if not wanted or len(wanted) != len(parts) or wanted.keys() != there.keys():
        raise BadRequest("The list of parts is not the list of parts that arrived")
    for number, etag in wanted.items():
        tag = there[number].name.partition("-")[2]
        if not hmac.compare_digest(etag.encode("utf-8", "replace"), tag.encode()):
            raise BadRequest(f"Part {number} is not the one that arrived")
    return [there[number] for number in sorted(wanted)]


def _contents(paths: Sequence[Path]) -> Iterator[bytes]:
    """The bytes of part files one after the other; BadRequest if one is not what was acknowledged."""
    for path in paths:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while data := file.read(CHUNK):
                digest.update(data)
                yield data
        number, _, tag = path.name.partition("-")
        if digest.hexdigest()[:TAG_LENGTH] != tag:
            raise BadRequest(f"Part {number} was damaged: send it again")
