"""The only place where the pixels of a user's file are decoded, and it does so in another process.

One small process is started with the first image and forks once per image (see `decode_child`). The worker
only moves bytes: it sends the file, and receives a checked header and raw pixels, so a hostile file costs it
no more than the memory of one image within the limits.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from PIL import Image

from handler.media.decode_protocol import (
    MAX_PIXELS,
    MAX_SIDE,
    REQUEST,
    RESPONSE,
    SUPPORTED_FORMATS,
    Limits,
    Verdict,
    is_acceptable,
)
from schemas.errors import ImageLoadError, ImageTooLarge, InternalError, UnsupportedImageFormat

_LIMITS = Limits()
_START_SECONDS = 60
_GRACE_SECONDS = 3
_PROJECT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH", "SYSTEMROOT", "LANG", "LC_ALL")
"""What the process inherits: it must not see the worker's keys."""


class Decoder:
    """Owns the decoding process. Safe to use from several threads; `slots` images are decoded at once."""

    def __init__(self, slots: int = 2, limits: Limits = _LIMITS) -> None:
        self._limits = limits
        self._slots = threading.BoundedSemaphore(slots)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> None:
        """Start the process if it is not running. InternalError if it does not come up."""
        with self._lock:
            self._ensure_running()

    def close(self) -> None:
        """End the process; the next image starts a new one."""
        with self._lock:
            self._stop()

    def decode(self, data: bytes) -> tuple[Verdict, Image.Image | None]:
        """Decode one file. The image comes with Verdict.OK only."""
        with self._slots, self._connect() as connection:
            try:
                return _exchange(connection, data, self._limits.wall_s)
            except (OSError, EOFError):
                return Verdict.DAMAGED, None

    def _connect(self) -> socket.socket:
        """A connection to a fresh fork of the process, which is restarted once if it is gone or stuck."""
        for _ in range(2):
            ours, theirs = socket.socketpair()
            with theirs:
                process = self._hand_over(theirs)
            if process is not None and _is_greeted(ours, self._limits.wall_s):
                return ours
            ours.close()
            if process is not None:
                self._discard(process)
        raise InternalError

    def _hand_over(self, connection: socket.socket) -> subprocess.Popen[bytes] | None:
        """Give `connection` to the process; None, and the process is stopped, if it does not take it."""
        with self._lock:
            try:
                socket.send_fds(self._ensure_running(), [b"+"], [connection.fileno()])
            except OSError:
                self._stop()
            return self._process

    def _discard(self, process: subprocess.Popen[bytes]) -> None:
        """End a process that does not answer, unless another thread has replaced it already."""
        with self._lock:
            if process is self._process:
                process.kill()
                self._stop()

    def _ensure_running(self) -> socket.socket:
        if self._control is not None and self._process is not None and self._process.poll() is None:
            return self._control
        self._stop()
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "handler.media.decode_child", *map(str, astuple(self._limits))],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,
            )
        self._control.settimeout(_START_SECONDS)
        if self._control.recv(1) != b"+":
            self._stop()
            raise InternalError
        return self._control

    def _stop(self) -> None:
        control, process, self._control, self._process = self._control, self._process, None, None
        if control is not None:
            control.close()
        if process is not None:
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_PROJECT), kept.get("PYTHONPATH")]))
    return kept


def _is_greeted(connection: socket.socket, seconds: float) -> bool:
    """Whether the fork says that it is there. Until then a failure is ours, from then on the image's."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b"+"
    except OSError:
        return False


def _exchange(connection: socket.socket, data: bytes, wall_s: float) -> tuple[Verdict, Image.Image | None]:
    """Send the file, receive the answer. OSError or EOFError when the other side breaks off or is late."""
    deadline = time.monotonic() + wall_s + _GRACE_SECONDS
    connection.settimeout(wall_s)
    connection.sendall(REQUEST.pack(len(data)))
    if data:  # after an empty file's length the process may answer and leave: then not even nothing can be sent
        connection.sendall(data)
    code, bands, width, height = RESPONSE.unpack(_receive(connection, RESPONSE.size, deadline))
    if code != Verdict.OK:
        return Verdict(code) if code in set(Verdict) else Verdict.DAMAGED, None
    if bands not in (3, 4) or not is_acceptable(width, height):
        return Verdict.DAMAGED, None
    pixels = _receive(connection, width * height * bands, deadline)
    return Verdict.OK, Image.frombytes("RGB" if bands == 3 else "RGBA", (width, height), pixels)


def _receive(connection: socket.socket, length: int, deadline: float) -> bytearray:
    buffer = bytearray(length)
    rest = memoryview(buffer)
    while rest:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        received = connection.recv_into(rest)
        if not received:
            raise EOFError
        rest = rest[received:]
    return buffer


_decoder = Decoder()
atexit.register(_decoder.close)


def warm_up() -> None:
    """Start the decoding process ahead of the first image (about 0.2 s)."""
    _decoder.start()


def decode(data: bytes, loc: Sequence[str | int]) -> Image.Image:
    """Decode a PNG, JPEG or WebP file, recognised by its content.

    loc: the input field it came from. Returns mode RGB, or RGBA where the file has transparency: first frame,
    upright, sRGB, no metadata, at most 8192 pixels a side and 16.8 million in all. Raises
    UnsupportedImageFormat, ImageTooLarge, or ImageLoadError for a damaged or abusive file.
    """
    verdict, image = _decoder.decode(data)
    if verdict is Verdict.UNSUPPORTED:
        message = f"The image format is not supported. Supported formats: {', '.join(SUPPORTED_FORMATS)}"
        raise UnsupportedImageFormat(loc, message=message, supported_formats=list(SUPPORTED_FORMATS))
    if verdict is Verdict.TOO_LARGE:
        raise ImageTooLarge(loc, max_width=MAX_SIDE, max_height=MAX_SIDE, max_pixels=MAX_PIXELS)
    if image is None:
        raise ImageLoadError(loc)
    return image
