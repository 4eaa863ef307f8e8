"""What must hold before anything heavy is loaded, so that a wrong start ends at once, with words."""

from __future__ import annotations

import importlib.util
import os
import socket
from pathlib import Path

from gateway.settings import Settings

_BACKLOG = 2048


class CannotServe(Exception):
    """Why not, in one sentence for the operator."""


def check_workers(settings: Settings) -> None:
    """Raise CannotServe when workers are wanted and cannot be."""
    missing = [name for name in ("handler", "runpod", "torch") if importlib.util.find_spec(name) is None]
    if settings.workers and missing:
        raise CannotServe(
            f"The worker is not installed here ({', '.join(missing)} missing): install it, or use --workers 0."
        )


def check_folder(folder: Path) -> None:
    """Make the data folder. Raises CannotServe when nothing can be written there."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise CannotServe(f"The data folder {folder} cannot be written: {error.strerror}.") from None


def listen(settings: Settings) -> socket.socket:
    """A socket that takes connections. Raises CannotServe when the port is taken or the address not ours."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise CannotServe(
            f"The gateway cannot listen on {settings.host} port {settings.port}: {reason}. Is another one running?"
        ) from None
    return listener
