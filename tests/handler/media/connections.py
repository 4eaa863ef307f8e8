"""Counts every connection this process tries to make, whatever library makes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_watchers: list[list[Any]] = []
_installed = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and _watchers:
        for watcher in _watchers:
            watcher.append(arguments[1])


@contextmanager
def watch_connections() -> Iterator[list[Any]]:
    """The addresses of all `connect` calls inside the block (an audit hook, below every Python library)."""
    global _installed
    if not _installed:
        sys.addaudithook(_hook)
        _installed = True
    attempts: list[Any] = []
    _watchers.append(attempts)
    try:
        yield attempts
    finally:
        _watchers.remove(attempts)
