"""Tokens that prove a permission and need no record: a keyed hash of what is permitted."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from gateway.files.sink import sync_folder
from schemas.errors import StoreDamaged

SECRET_BYTES = 32


class Tokens:
    """Makes and checks tokens with a secret drawn once and kept in `path` (mode 0600)."""

    def __init__(self, path: Path) -> None:
        self._secret = kept_secret(path)

    def make(self, purpose: str, subject: str) -> str:
        """64 hexadecimal digits, good for this purpose and subject only."""
        return hmac.new(self._secret, f"{purpose}\n{subject}".encode(), hashlib.sha256).hexdigest()

    def check(self, purpose: str, subject: str, token: str) -> bool:
        return hmac.compare_digest(self.make(purpose, subject).encode(), token.encode("utf-8", "replace"))


def kept_secret(path: Path) -> bytes:
    """The SECRET_BYTES random bytes in `path`, drawn and made durable when there is no such file.

    StoreDamaged if it holds something else: what was signed with it would be worth nothing any more.
    """
    if not path.exists():
        write_private(path, secrets.token_bytes(SECRET_BYTES))
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise StoreDamaged(f"The key file {path.name} is damaged. Without it the gateway draws a new one")
    return secret


def write_private(path: Path, data: bytes) -> None:
    """Put `data` into a file only its owner can read, whole or not at all; an existing file stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
