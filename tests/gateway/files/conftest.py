"""File stores on folders of their own, with a clock the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.files.files import Files
from gateway.files.model import Limits
from gateway.files.sweep import Sweep
from gateway.files.uploads import Uploads
from gateway.jobs.jobs import Jobs
from gateway.jobs.store import Store

LIMITS = Limits(max_file=4 * 2**20, max_result=2**20, min_free=0, max_parts=5)


class Clock:
    """Unix seconds that stand still until the test moves them."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Kept:
    """A file store with its queue."""

    root: Path
    store: Store
    jobs: Jobs
    files: Files
    sweep: Sweep
    uploads: Uploads
    clock: Any

    def on_disk(self) -> set[str]:
        """Everything below the store's folder but its secret."""
        found = (path for path in self.root.rglob("*") if not path.is_dir())
        return {path.relative_to(self.root).as_posix() for path in found} - {"secret"}


async def open_kept(folder: Path, clock: Callable[[], float], limits: Limits = LIMITS) -> Kept:
    store = Store(folder)
    jobs = Jobs(store)
    await jobs.start(sweep=False)
    files = Files(folder / "files", store, limits=limits, clock=clock)
    return Kept(folder / "files", store, jobs, files, Sweep(files, jobs), Uploads(files), clock)


async def close_kept(kept: Kept) -> None:
    await kept.jobs.close()
    await kept.files.close()
    kept.store.close()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    opened = await open_kept(tmp_path, Clock())
    yield opened
    await close_kept(opened)
