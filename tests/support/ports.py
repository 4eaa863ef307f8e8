"""Ports for processes that are told their port, or that start again at the one they had."""

from __future__ import annotations

import socket


class HeldPort:
    """A free port of 127.0.0.1 that the system gives to nobody who asks for any, until it is released.

    Bound and not listening, so that a server which sets SO_REUSEADDR, as they all do, can listen there meanwhile.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        self._socket.close()
