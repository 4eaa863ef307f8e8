"""Name resolution that cannot hang a download."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

Resolver = Callable[[str, int], list[str]]
"""Takes a host name and a port, returns every address the name has now; OSError when there is none."""


def system_resolver(host: str, port: int) -> list[str]:
    """Ask the system (hosts file, DNS). Returns each IPv4 and IPv6 address once, in the system's order."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def resolve(resolver: Resolver, host: str, port: int, timeout: float) -> list[str]:
    """Run `resolver` for at most `timeout` seconds. TimeoutError when it takes longer, OSError when it fails.

    The system's resolver has no timeout of its own, so it runs in a thread that is left behind when late.
    """
    answers: list[list[str]] = []
    worker = threading.Thread(target=_ask, args=(resolver, host, port, answers), daemon=True, name="resolver")
    worker.start()
    worker.join(timeout)
    if worker.is_alive():
        raise TimeoutError("name resolution took too long")
    if not answers or not answers[0]:
        raise OSError("the name has no address")
    return answers[0]


def _ask(resolver: Resolver, host: str, port: int, answers: list[list[str]]) -> None:
    try:
        answers.append(list(resolver(host, port)))
    except (OSError, ValueError):
        answers.append([])
