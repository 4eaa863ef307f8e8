"""The file store: durable content, unguessable addresses, an end for everything."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.files import inputs, rows
from gateway.files.disk import Chunks, Disk
from gateway.files.model import Kind, Limits, StoredFile, UploadGrant
from gateway.files.names import OCTETS, is_id, new_id, safe_name
from gateway.files.sink import Blob
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
        self, root: Path, store: Store, *, limits: Limits | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.limits = limits or Limits()
        self.disk = Disk(root, self.limits.min_free)
        self.tokens = Tokens(root / "secret")
        self.clock = clock
        self.store = store
        store.migrate("files", rows.MIGRATIONS)

    async def add(
        self,
        data: Chunks,
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
        Raises PayloadTooLarge, StorageFull, StoreUnavailable; nothing is left behind then.
        """
        blob = await self.disk.write(data, self.limits.max_file)
        file = self.describe(blob, new_id(), name, owner, kind, ttl_s)
        return await self.record(replace(file, job_id=job_id, public=public))

    async def add_for_lease(
        self, data: Chunks, *, name: str, owner: str, job_id: str, lease_id: str
    ) -> StoredFile:
        """Store a picture a worker made under a lease; one of the same name is replaced and keeps its URL.

        It has no end until `settle` says whether the lease's result became the job's. BadRequest if the content is
        no PNG, JPEG or WebP; else raises as `add` does.
        """
        blob = await self.disk.write(data, self.limits.max_result)
        if blob.media_type == OCTETS:
            await self.remove_blobs([blob.name])
            raise BadRequest("Only PNG, JPEG and WebP files are taken here")
        file = self.describe(blob, new_id(), name, owner, Kind.RESULT, None)
        return await self.record(replace(file, expires_at=None, job_id=job_id, lease_id=lease_id))

    def describe(
        self, blob: Blob, file_id: str, name: str, owner: str, kind: Kind, ttl_s: float | None
    ) -> StoredFile:
        """The row of content that is on disk."""
        now = self.clock()
        ends = now + (self.limits.file_ttl_s if ttl_s is None else ttl_s)
        return StoredFile(
            id=file_id, name=safe_name(name), media_type=blob.media_type, size=blob.size, sha256=blob.sha256,
            blob=blob.name, kind=kind, owner=owner, public=True, created_at=now, expires_at=ends,
        )  # fmt: skip

    async def record(self, file: StoredFile) -> StoredFile:
        """Write the row of content that is on disk; take the content back when that fails.

        A file of the same id, or of the same lease and name, is replaced. A cancelled caller does not stop it half-way.
        """
        return await asyncio.shield(asyncio.ensure_future(self._record(file)))

    async def _record(self, file: StoredFile) -> StoredFile:
        def put(connection: sqlite3.Connection) -> tuple[StoredFile, list[str]]:
            old = rows.one(connection, "find", id=file.id, now=0.0)
            old = old or rows.one(connection, "find_of_lease", lease_id=file.lease_id, name=file.name)
            if old is None:
                rows.insert(connection, file)
                return file, []
            same = old.sha256 == file.sha256
            new = replace(file, id=old.id, blob=old.blob if same else file.blob)
            rows.update(connection, new)
            return new, [file.blob if same else old.blob]

        try:
            stored, needless = await self.store.write(put)
        except BaseException:
            await self.remove_blobs([file.blob])
            raise
        await self.remove_blobs(needless)
        return stored

    async def find(self, file_id: str) -> StoredFile | None:
        """The file of this id, unless its end has come and no job needs it any more."""
        if not is_id(file_id):
            return None
        now = self.clock()
        return await self.store.read(lambda connection: rows.one(connection, "find", id=file_id, now=now))

    async def read(self, file: StoredFile) -> bytes:
        """The whole content. FileNotFoundError if it went meanwhile."""
        return await self.disk.run(lambda: self.disk.read(file.blob))

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
        return UploadGrant(f"{base_url}/files/leases/{lease_id}/{{file_name}}", self.tokens.make(_GRANT, lease_id))

    def is_granted(self, lease_id: str, token: str) -> bool:
        """Whether a token is the one of this lease. Whether the lease still runs is the queue's to say."""
        return self.tokens.check(_GRANT, lease_id, token)

    async def spill(self, input: Mapping[str, Any], owner: str) -> dict[str, Any]:
        """`input` with its large data URIs moved to private files; see `gateway.files.inputs`."""
        return await inputs.spill(self, input, owner)

    async def fill(self, input: Mapping[str, Any], owner: str) -> dict[str, Any]:
        """`input` as a worker needs it: spilled data URIs back, pictures of our own as data URIs."""
        return await inputs.fill(self, input, owner)

    async def hold(self, job_id: str, input: Mapping[str, Any], owner: str) -> None:
        """Keep the files a job's input refers to as long as the job is there."""
        await inputs.hold(self, job_id, input, owner)

    async def settle(self, job_id: str, kept_lease: str | None, ends: float) -> None:
        """The job has ended: the files of `kept_lease` stay until `ends`, those of its other leases go."""

        def write(connection: sqlite3.Connection) -> list[str]:
            dropped = rows.taken(connection, "drop_other_leases", job_id=job_id, kept=kept_lease)
            rows.change(connection, "settle", job_id=job_id, lease_id=kept_lease, expires_at=ends)
            return dropped

        await self.remove_blobs(await self.store.write(write))

    async def release(self, job_id: str) -> None:
        """The job's record is gone: what was kept for its input alone goes too."""

        def write(connection: sqlite3.Connection) -> list[str]:
            dropped = rows.taken(connection, "drop_unheld_inputs", job_id=job_id)
            rows.change(connection, "release", job_id=job_id)
            return dropped

        await self.remove_blobs(await self.store.write(write))

    async def drop_job(self, job_id: str) -> None:
        """Forget all files made for a job, results too, and those of its input."""
        await self.release(job_id)
        await self._drop("drop_of_job", job_id=job_id)

    async def drop(self, file_id: str) -> None:
        """Forget one file."""
        await self._drop("drop", id=file_id)

    async def _drop(self, query: str, **values: Any) -> None:
        blobs = await self.store.write(lambda connection: rows.taken(connection, query, **values))
        await self.remove_blobs(blobs)

    async def remove_blobs(self, names: Iterable[str]) -> None:
        """Remove content whose rows are gone."""
        for name in names:
            await self.disk.run(lambda name=name: self.disk.remove(name))

    async def close(self) -> None:
        """Let go of the threads; what they do is finished first."""
        await asyncio.to_thread(self.disk.close)
