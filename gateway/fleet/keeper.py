"""`keeper.py COMMAND…`: run a command in a process group of its own, and never let anything of it outlive us.

Its standard input is a pipe whose other end its parent holds and never writes to: at its end, however the parent came
to one, the whole group is killed. When the command ends, what it left behind in its group is killed too. SIGTERM is
passed on. Needs nothing but the standard library, so that it stays small beside a worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading

_PR_SET_PDEATHSIG = 1


def _die_with_parent() -> None:
    """In the child: be killed when the keeper is. Linux only; elsewhere the pipe alone has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def main(command: list[str]) -> None:
    """Run `command`; exit as it did."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_die_with_parent)
    signal.signal(signal.SIGTERM, lambda *_: child.send_signal(signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch_parent() -> None:
        while os.read(0, 1):
            pass
        _kill_group(child.pid)

    threading.Thread(target=watch_parent, daemon=True).start()
    code = child.wait()
    _kill_group(child.pid)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[1:])
