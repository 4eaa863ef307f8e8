"""Tokens of workers: one for each name, derived from one secret, so that none needs to be stored."""

from __future__ import annotations

import hmac
import re
import secrets
from pathlib import Path

from gateway.files.tokens import write_private
from gateway.settings import Settings
from schemas.errors import StoreDamaged

_FILE = "worker-secret"
_SECRET = re.compile(rb"[0-9a-f]{64}")


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
    """StoreDamaged if the file holds anything but such a secret: tokens made from it would be worth nothing."""
    if not path.exists():
        write_private(path, secrets.token_hex(32).encode())
    text = path.read_bytes().strip()
    if not _SECRET.fullmatch(text):
        raise StoreDamaged(f"The key file {path.name} is damaged. Without it the gateway draws a new one")
    return text.decode()
