"""After a crash every acknowledged file is there, whole, and nothing else is on the disk.

The process is killed at random moments; each step on the way to disk is made to fail once.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.files.model import StoredFile
from tests.gateway.files.conftest import Clock, Kept, close_kept, open_kept
from tests.gateway.files.pictures import content, pieces

pytestmark = pytest.mark.anyio

KILLS = 4
ROOT = Path(__file__).parents[3]


async def whole(kept: Kept) -> list[StoredFile]:
    """All files there are, each read to its end; what is on disk must be these and no more."""
    rows = await kept.store.read(lambda connection: connection.execute("SELECT id FROM files").fetchall())
    files = [file for row in rows if (file := await kept.files.find(row["id"]))]
    for file in files:
        assert hashlib.sha256(await kept.files.read(file)).hexdigest() == file.sha256
    blobs = {path for path in kept.on_disk() if not path.startswith("parts/")}
    assert blobs == {f"blobs/{file.blob}" for file in files}
    return files


async def test_what_was_acknowledged_outlives_kill_9(tmp_path: Path) -> None:
    draw, acknowledged = random.Random(3), {}
    for _ in range(KILLS):
        adding = subprocess.Popen(
            [sys.executable, "-m", "tests.gateway.files.adding", str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert adding.stdout is not None
        lines = [adding.stdout.readline()]
        time.sleep(draw.uniform(0, 0.3))
        adding.kill()
        lines += adding.stdout.read().splitlines(keepends=True)
        adding.wait()
        acknowledged |= dict(line.decode().split() for line in lines if line.endswith(b"\n"))
        kept = await open_kept(tmp_path, time.time)
        await kept.sweep.at_start()
        there = {file.id: file.sha256 for file in await whole(kept)}
        assert acknowledged.items() <= there.items()
        await close_kept(kept)
    assert len(acknowledged) >= KILLS


class Fault:
    """Makes the n-th call of any of these functions fail; counts the calls."""

    NAMES = ("open", "fsync", "rename")

    def __init__(self, monkeypatch: pytest.MonkeyPatch, nth: int) -> None:
        self.calls = 0
        self._nth = nth
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls == self._nth:
                raise OSError(5, "Input/output error")
            return real(*args, **options)

        return call


async def test_each_step_to_the_disk_may_fail(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = 0
    for nth in range(1, 20):
        with monkeypatch.context() as patch:
            fault = Fault(patch, nth)
            try:
                file = await kept.files.add(pieces(content(nth, 100_000)), name="x", owner="ann")
            except OSError:
                failed += 1
                file = None
        assert (await whole(kept)) == ([] if file is None else [file])
        if file is not None:
            break
    # To open, to sync, to rename, to open and sync the folder.
    assert failed == fault.calls == 5


async def test_what_a_stopped_process_left_is_dropped(kept: Kept) -> None:
    good = await kept.files.add(b"good", name="good", owner="ann")
    lost = await kept.files.add(b"lost", name="lost", owner="ann")
    upload = await kept.uploads.announce("part", "ann")
    await kept.uploads.receive_part(upload.id, kept.uploads.token(upload), 1, pieces(b"part"))
    (kept.root / "blobs" / lost.blob).unlink()
    (kept.root / "blobs" / ("0" * 32)).write_bytes(b"no row")
    (kept.root / "incoming" / ("1" * 32)).write_bytes(b"half")
    (kept.root / "parts" / ("2" * 32)).mkdir()
    (kept.root / "parts" / ("2" * 32) / "1-x").write_bytes(b"part of nothing")
    await kept.sweep.at_start()
    assert await whole(kept) == [good]
    assert await kept.files.find(lost.id) is None
    assert [path.name for path in (kept.root / "parts").iterdir()] == [upload.id]


async def test_tokens_and_urls_outlive_a_restart(tmp_path: Path) -> None:
    kept = await open_kept(tmp_path, Clock())
    file = await kept.files.add(b"x", name="x", owner="ann")
    token = kept.files.grant("job-a1", "http://h").token
    await close_kept(kept)
    again = await open_kept(tmp_path, Clock())
    assert await again.files.resolve(kept.files.url(file, "http://other")) == file
    assert again.files.is_granted("job-a1", token)
    assert (tmp_path / "files" / "secret").stat().st_mode & 0o777 == 0o600
    await close_kept(again)
