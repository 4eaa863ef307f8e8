"""Adds files until it is killed; each line on stdout names one that was acknowledged: id and SHA-256.

    python -m tests.gateway.files.adding FOLDER
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import sys
from pathlib import Path

from gateway.files.files import Files
from gateway.files.model import Limits
from gateway.files.uploads import Uploads
from gateway.jobs.store import Store
from tests.gateway.files.pictures import pieces


async def add(files: Files, number: int) -> None:
    while True:
        data = secrets.token_bytes(1 + 300_000 * number)
        file = await files.add(pieces(data), name="x", owner="ann")
        print(file.id, hashlib.sha256(data).hexdigest(), flush=True)


async def upload(files: Files) -> None:
    uploads = Uploads(files)
    while True:
        announced = await uploads.announce("y", "ann")
        token, data = uploads.token(announced), [secrets.token_bytes(200_000) for _ in range(2)]
        parts = [await uploads.receive_part(announced.id, token, n, pieces(piece)) for n, piece in enumerate(data, 1)]
        file = await uploads.complete(announced.id, token, parts)
        print(file.id, hashlib.sha256(b"".join(data)).hexdigest(), flush=True)


async def main(folder: Path) -> None:
    files = Files(folder / "files", Store(folder), limits=Limits(min_free=0))
    await asyncio.gather(*(add(files, number) for number in range(4)), upload(files))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
