"""The lock lets one holder in at a time, although every holder removes the lock file when it leaves."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from builder.lock import exclusive


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "file.lock"
    inside: list[int] = []
    crowds: list[int] = []

    def enter_often() -> None:
        for _ in range(40):
            with exclusive(path, lambda: None):
                inside.append(1)
                time.sleep(0.0002)
                crowds.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=enter_often) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(crowds) == 240
    assert max(crowds) == 1
    assert not path.exists()


def test_a_failure_inside_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "file.lock"
    with pytest.raises(ZeroDivisionError), exclusive(path, lambda: None):
        raise ZeroDivisionError
    with exclusive(path, lambda: pytest.fail("nobody else holds it")):
        assert path.exists()
    assert not path.exists()


def test_a_killed_holder_is_no_holder(tmp_path: Path) -> None:
    path = tmp_path / "file.lock"
    script = (
        "import sys, time; from pathlib import Path; from builder.lock import exclusive\n"
        f"with exclusive(Path({str(path)!r}), lambda: None):\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    waited = threading.Event()

    def wait() -> None:
        waited.set()
        holder.kill()

    with exclusive(path, wait):
        assert waited.is_set()
    holder.wait()
