"""The file store: durable content, unguessable addresses, an end for everything."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.files import rows
from gateway.files.disk import Blob, Disk
from gateway.files.model import Kind, Limits, StoredFile, UploadGrant
from gateway.files.names import OCTETS, is_id, new_id, safe_name
from gateway.files.tokens import Tokens
from schemas.errors import BadRequest

if TYPE_CHECKING:
    from gateway.jobs.store import Store

_PATH = re.compile(r"(?:/[^?#]*)?/files/([0-9a-f]{32})/([^/?#]+)")
_GRANT = "lease"


class Files:
    """Files under one folder, their rows in the gateway's store.

    root: the folder, made when missing. clock: Unix seconds.
    """

    def __init__(
        self,
        root: Path,
        store: Store,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.limits = limits or Limits()
        self.disk = Disk(root, self.limits.min_free)
        self.tokens = Tokens(root / "secret")
        self.clock = clock
        self._store = store

    async def add(
        self,
        data: AsyncIterator[bytes] | bytes,
        *,
        name: str,
        owner: str,
        kind: Kind = Kind.UPLOAD,
        ttl_s: float | None = None,
        job_id: str | None = None,
        public: bool = True,
    ) -> StoredFile:
        """Store a file; when this returns it is durable.

        name: any text, made safe. ttl_s: None means the limits' `file_ttl_s`. The type is read from the content.
        Raises PayloadTooLarge, StorageFull; nothing is left behind then.
        """
        blob = await self.disk.write(data, self.limits.max_file)
        now = self.clock()
        ends = now + (self.limits.file_ttl_s if ttl_s is None else ttl_s)
        return await self.record(blob, new_file(blob, name, owner, kind, now, ends, job_id=job_id, public=public))

    async def add_for_lease(
        self, data: AsyncIterator[bytes], *, name: str, owner: str, job_id: str, lease_id: str
    ) -> StoredFile:
        """Store a picture a worker made under a lease; one of the same name is replaced and keeps its URL.

        It has no end until `settle` says whether the lease's result became the job's. BadRequest if the content is
        no PNG, JPEG or WebP; else raises as `add` does.
        """
        blob = await self.disk.write(data, self.limits.max_result)
        if blob.media_type == OCTETS:
            await self.remove_blobs([blob.name])
            raise BadRequest("Only PNG, JPEG and WebP files are taken here")
        file = new_file(blob, name, owner, Kind.RESULT, self.clock(), None, job_id=job_id, lease_id=lease_id)
        return await self.record(blob, file)

    async def record(self, blob: Blob, file: StoredFile) -> StoredFile:
        """Write the row of content that is on disk; take the content back when that fails.

        A cancelled caller does not stop it half-way: the row is written and the file lives until its end.
        """
        return await asyncio.shield(asyncio.ensure_future(self._record(blob, file)))

    async def _record(self, blob: Blob, file: StoredFile) -> StoredFile:
        def put(connection: sqlite3.Connection) -> tuple[StoredFile, list[str]]:
            old = rows.one(connection, "find_of_lease", lease_id=file.lease_id, name=file.name)
            if old is None:
                rows.insert(connection, file)
                return file, []
            new = replace(old, blob=blob.name, size=blob.size, sha256=blob.sha256, media_type=blob.media_type)
            rows.update(connection, new)
            return new, [old.blob]

        try:
            stored, replaced = await self._store.write(put)
        except BaseException:
            await self.remove_blobs([blob.name])
            raise
        await self.remove_blobs(replaced)
        return stored

    async def find(self, file_id: str) -> StoredFile | None:
        """The file of this id, unless its end has come."""
        if not is_id(file_id):
            return None
        file = await self._store.read(lambda connection: rows.one(connection, "find", id=file_id))
        return None if file is None or self._is_over(file) else file

    def url(self, file: StoredFile, base_url: str) -> str:
        """Where a caller who reaches us at `base_url` reads the file."""
        return f"{base_url}/files/{file.id}/{file.name}"

    async def resolve(self, url: str) -> StoredFile | None:
        """The file an URL of ours stands for, whichever address of ours it begins with: an id of 128 random bits
        that we know can only have come from us. A private file is found too; whose it is, is the caller's to check.
        """
        try:
            parts = urlsplit(url)
        except ValueError:
            return None
        match = _PATH.fullmatch(parts.path) if parts.scheme in ("http", "https") else None
        file = await self.find(match[1]) if match else None
        return file if file is not None and match and file.name == match[2] else None

    def grant(self, lease_id: str, base_url: str) -> UploadGrant:
        """Where and with which token a worker that reaches us at `base_url` puts the pictures of one lease."""
        return UploadGrant(
            f"{base_url}/files/leases/{lease_id}/{{file_name}}", self.tokens.make(_GRANT, lease_id)
        )

    def is_granted(self, lease_id: str, token: str) -> bool:
        """Whether a token is the one of this lease. Whether the lease still runs is the queue's to say."""
        return self.tokens.check(_GRANT, lease_id, token)

    async def settle(self, job_id: str, kept_lease: str | None, ttl_s: float | None = None) -> None:
        """The job has ended: the files of `kept_lease` stay `ttl_s` from now, those of its other leases go."""
        ends = self.clock() + (self.limits.file_ttl_s if ttl_s is None else ttl_s)

        def write(connection: sqlite3.Connection) -> list[str]:
            dropped = rows.drop(connection, "drop_other_leases", job_id=job_id, kept=kept_lease)
            rows.change(connection, "settle", job_id=job_id, lease_id=kept_lease, expires_at=ends)
            return dropped

        await self.remove_blobs(await self._store.write(write))

    async def drop_job(self, job_id: str) -> None:
        """Forget all files made for a job, results too."""
        dropped = await self._store.write(lambda connection: rows.drop(connection, "drop_of_job", job_id=job_id))
        await self.remove_blobs(dropped)

    async def drop(self, file_id: str) -> None:
        """Forget one file."""
        dropped = await self._store.write(lambda connection: rows.drop(connection, "drop", id=file_id))
        await self.remove_blobs(dropped)

    async def remove_blobs(self, names: list[str]) -> None:
        """Remove content whose rows are gone."""
        if names:
            await self.disk.run(lambda: [self.disk.remove(name) for name in names])

    def _is_over(self, file: StoredFile) -> bool:
        return file.expires_at is not None and file.expires_at <= self.clock()

    async def close(self) -> None:
        """Let go of the threads; what they do is finished first."""
        await asyncio.to_thread(self.disk.close)


def new_file(
    blob: Blob,
    name: str,
    owner: str,
    kind: Kind,
    created_at: float,
    expires_at: float | None,
    *,
    job_id: str | None = None,
    lease_id: str | None = None,
    public: bool = True,
) -> StoredFile:
    return StoredFile(
        id=new_id(), name=safe_name(name), media_type=blob.media_type, size=blob.size, sha256=blob.sha256,
        blob=blob.name, kind=kind, owner=owner, public=public, created_at=created_at, expires_at=expires_at,
        job_id=job_id, lease_id=lease_id,
    )  # fmt: skip
