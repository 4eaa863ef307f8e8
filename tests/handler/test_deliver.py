"""Pictures are delivered all or none: a failed or cancelled delivery takes back what it stored."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from handler.deliver import deliver
from handler.engine.engine import WARM_UP
from handler.engine.picture import Picture
from handler.storage.local import LocalStore
from schemas.errors import StorageUnavailable

PICTURES = [Picture(np.full((8, 8, 3), shade, np.uint8), seed=shade, nsfw=False) for shade in (0, 90, 180)]
NO_METADATA = [None] * len(PICTURES)


class SlowStore(LocalStore):
    """The outputs folder, a little slower, and told which picture it will not take."""

    def __init__(self, root: Path, refused: str = "") -> None:
        super().__init__(root, "job")
        self.began = threading.Event()
        self._refused = refused

    def put(self, name: str, data: bytes, content_type: str) -> str:
        self.began.set()
        time.sleep(0.2)
        if name == self._refused:
            raise StorageUnavailable
        return super().put(name, data, content_type)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def test_all_pictures_arrive(tmp_path: Path) -> None:
    images = asyncio.run(deliver(PICTURES, NO_METADATA, WARM_UP, SlowStore(tmp_path)))
    assert len({image.url for image in images}) == len(files(tmp_path)) == 3


def test_when_one_cannot_be_stored_none_stays(tmp_path: Path) -> None:
    first = asyncio.run(deliver(PICTURES, NO_METADATA, WARM_UP, SlowStore(tmp_path / "good")))[1].file_name
    with pytest.raises(StorageUnavailable):
        asyncio.run(deliver(PICTURES, NO_METADATA, WARM_UP, SlowStore(tmp_path / "bad", refused=first)))
    assert files(tmp_path / "bad") == []


def test_a_job_cancelled_while_it_uploads_leaves_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        store = SlowStore(tmp_path)
        task = asyncio.create_task(deliver(PICTURES, NO_METADATA, WARM_UP, store))
        await asyncio.to_thread(store.began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert files(tmp_path) == []
