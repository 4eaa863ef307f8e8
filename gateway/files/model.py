"""What a kept file is: frozen records. Times are Unix seconds, sizes bytes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Why a file is kept."""

    RESULT = "result"
    """Made by a worker under a lease; dropped when that attempt does not become the job's result."""
    UPLOAD = "upload"
    """Sent by a client."""
    INPUT = "input"
    """Taken out of a job's input; never served to anyone but its owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One file as the store has it.

    id: 32 hexadecimal digits, unguessable; who knows a public file's URL may read it. name: safe in a URL and in a
    header. media_type: what it is served as, `image/png`, `image/jpeg`, `image/webp` by content, else
    `application/octet-stream`. blob: its name on disk, new with every change of content. sha256: of the content, hex.
    public: False means that only `owner` may read it. lease_id: the lease it was made under, until that is settled.
    expires_at: None means no end of its own.
    """

    id: str
    name: str
    media_type: str
    size: int
    sha256: str
    blob: str
    kind: Kind
    owner: str
    public: bool
    created_at: float
    expires_at: float | None
    job_id: str | None = None
    lease_id: str | None = None

    @property
    def is_image(self) -> bool:
        return self.media_type.startswith("image/")


@dataclass(frozen=True, slots=True)
class UploadGrant:
    """Where a worker puts the files of one lease: a URL with one `{file_name}`, and the Bearer token for it."""

    url: str
    token: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be stored. Sizes in bytes, times in seconds.

    max_file: one file. max_result: one picture of a worker. min_free: refuse new files when the disk has less left, so
    that the queue can still commit. upload_window_s: how long an announced upload may take. file_ttl_s: how long a
    file is kept when nothing else is said. max_parts: parts of one upload.
    """

    max_file: int = 4 * 1024**3
    max_result: int = 256 * 1024**2
    min_free: int = 64 * 1024**2
    upload_window_s: float = 3600.0
    file_ttl_s: float = 86400.0
    max_parts: int = 1000
