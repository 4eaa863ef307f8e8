"""The process in which users' files are decoded, started by `decode`.

    python -m handler.media.decode_child MEMORY_BYTES CPU_SECONDS WALL_SECONDS

It is small (Pillow and nothing of the worker's), has one thread, and forks once per image. The fork gets the
kernel's limits on memory, time and files, decodes one image and is gone, whatever the file did to it; this
process goes on. It ends when its standard input, a socket of the worker, closes or the worker is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import socket
import sys

from handler.media.decode_protocol import REQUEST, RESPONSE, Limits, Verdict
from handler.media.pixels import TooLarge, Unsupported, decode

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Say ready, then fork for every connection the worker hands over."""
    worker = os.getppid()
    limits = Limits(*map(int, sys.argv[1:4]))
    control = socket.socket(fileno=sys.stdin.fileno())
    control.sendall(b"+")
    while os.getppid() == worker:
        _reap()
        if not select.select([control], [], [], 1.0)[0]:
            continue
        message, handles, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        for handle in handles:
            _fork_for(handle, control, limits)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _fork_for(handle: int, control: socket.socket, limits: Limits) -> None:
    with socket.socket(fileno=handle) as connection:
        try:
            child = os.fork()
        except OSError:
            return  # the worker sees its connection close
        if child == 0:
            try:
                control.close()
                _confine(limits)
                _serve(connection)
            finally:
                os._exit(0)


def _confine(limits: Limits) -> None:
    """Limits for the rest of this process's life. Those a platform does not know are skipped."""
    signal.alarm(limits.wall_s)
    values = {
        "RLIMIT_AS": limits.memory_bytes,
        "RLIMIT_CPU": limits.cpu_s,
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_NPROC": 0,
        "RLIMIT_NOFILE": 16,
    }
    for name, value in values.items():
        with contextlib.suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, name), (value, value))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _serve(connection: socket.socket) -> None:
    connection.sendall(b"+")
    stream = connection.makefile("rb")
    (length,) = REQUEST.unpack(stream.read(REQUEST.size))
    data = stream.read(length)
    try:
        image = decode(data)
        pixels = image.tobytes()
    except Unsupported:
        connection.sendall(RESPONSE.pack(Verdict.UNSUPPORTED, 0, 0, 0))
    except TooLarge:
        connection.sendall(RESPONSE.pack(Verdict.TOO_LARGE, 0, 0, 0))
    except Exception:
        connection.sendall(RESPONSE.pack(Verdict.DAMAGED, 0, 0, 0))
    else:
        connection.sendall(RESPONSE.pack(Verdict.OK, len(image.getbands()), image.width, image.height))
        connection.sendall(pixels)


if __name__ == "__main__":
    main()
