"""Tokens of workers: one for each name, derived from one secret, so that none needs to be stored."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path

from gateway.settings import Settings

_FILE = "worker-secret"


class WorkerTokens:
    """A worker's token opens the worker protocol under that worker's name and nothing else."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def of(self, worker: str) -> str:
        return hmac.new(self._secret, b"worker " + worker.encode(), "sha256").hexdigest()

    def fits(self, worker: str, token: str) -> bool:
        return hmac.compare_digest(self.of(worker).encode(), token.encode("utf-8", "surrogateescape"))


def worker_tokens(settings: Settings) -> WorkerTokens:
    """With the configured secret, else with the one kept in the data folder, drawn on first use."""
    if settings.worker_secret is not None:
        return WorkerTokens(settings.worker_secret.get_secret_value())
    return WorkerTokens(_kept(settings.data / _FILE))


def _kept(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text("ascii").strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
        file.flush()
        os.fsync(file.fileno())
    return path.read_text("ascii")
